// Who is told, and when. The queries are in alerts/*.kql; what each alert means and what to do: docs/operations.md.

@description('Name of the action group.')
param actionGroupName string

@description('Name of the environment, for the text of alerts.')
param environmentName string

@description('Region of the alert rules.')
param location string

@description('Tags of the action group and the rules.')
param tags object

@description('Resource id of the Log Analytics workspace.')
param workspaceId string

@description('Mail addresses.')
param emails array

@description('Phones for SMS: objects with countryCode and phoneNumber.')
param phones array

@description('Addresses of webhooks.')
param webhooks array

@description('Minutes without a tick.')
param silenceMinutes int

@description('Minutes that a target database may wait.')
param queueAgeMinutes int

@description('Minutes without a free slot.')
param capacityFullMinutes int

var perTarget = [
  { name: 'job', operator: 'Include', values: ['*'] }
  { name: 'step', operator: 'Include', values: ['*'] }
  { name: 'server', operator: 'Include', values: ['*'] }
]
var rules = [
  {
    name: 'failed-job'
    title: 'A job failed'
    text: 'Target databases of a job ended Failed. The alert names job, step and server.'
    query: loadTextContent('alerts/failed-job.kql')
    column: 'Targets'
    operator: 'GreaterThan'
    threshold: 0
    window: 'PT5M'
    severity: 1
    dimensions: perTarget
  }
  {
    name: 'timed-out-job'
    title: 'A job timed out'
    text: 'Target databases of a job ended TimedOut. The alert names job, step and server.'
    query: loadTextContent('alerts/timed-out-job.kql')
    column: 'Targets'
    operator: 'GreaterThan'
    threshold: 0
    window: 'PT5M'
    severity: 1
    dimensions: perTarget
  }
  {
    name: 'no-tick'
    title: 'The scheduler is silent'
    text: 'No tick was seen for minutes: nothing is started and nothing is mended.'
    query: replace(loadTextContent('alerts/no-tick.kql'), '{minutes}', string(silenceMinutes))
    column: 'Ticks'
    operator: 'LessThan'
    threshold: 1
    window: 'PT1H'
    severity: 0
    dimensions: []
  }
  {
    name: 'old-queue'
    title: 'Target databases wait too long'
    text: 'A target database has a slot and no worker takes it: too few instances, or they cannot start.'
    query: loadTextContent('alerts/old-queue.kql')
    column: 'Seconds'
    operator: 'GreaterThan'
    threshold: queueAgeMinutes * 60
    window: 'PT5M'
    severity: 2
    dimensions: []
  }
  {
    name: 'capacity-full'
    title: 'The capacity is used up'
    text: 'No slot was free in the whole time: target databases wait for their turn. A larger capacity tier helps.'
    query: loadTextContent('alerts/capacity-full.kql')
    column: 'Free'
    operator: 'LessThan'
    threshold: 1
    window: 'PT${capacityFullMinutes}M'
    severity: 3
    dimensions: []
  }
]

module group 'br/public:avm/res/insights/action-group:0.8.0' = {
  name: 'action-group'
  params: {
    name: actionGroupName
    groupShortName: 'ElasticJobs'
    tags: tags
    emailReceivers: [for (address, i) in emails: { name: 'mail-${i}', emailAddress: address, useCommonAlertSchema: true }]
    smsReceivers: [for (phone, i) in phones: { name: 'sms-${i}', countryCode: phone.countryCode, phoneNumber: phone.phoneNumber }]
    webhookReceivers: [for (address, i) in webhooks: { name: 'webhook-${i}', serviceUri: address, useCommonAlertSchema: true }]
    enableTelemetry: false
  }
}

module alertRules 'br/public:avm/res/insights/scheduled-query-rule:0.6.0' = [for rule in rules: {
  name: 'alert-${rule.name}'
  params: {
    name: 'elastic-jobs-${environmentName}-${rule.name}'
    location: location
    tags: tags
    alertDisplayName: '${rule.title} (Elastic Jobs, ${environmentName})'
    alertDescription: rule.text
    scopes: [workspaceId]
    severity: rule.severity
    evaluationFrequency: 'PT5M'
    windowSize: rule.window
    autoMitigate: true
    criterias: {
      allOf: [
        {
          query: rule.query
          metricMeasureColumn: rule.column
          timeAggregation: 'Total'
          operator: rule.operator
          threshold: rule.threshold
          dimensions: rule.dimensions
          failingPeriods: { numberOfEvaluationPeriods: 1, minFailingPeriodsToAlert: 1 }
        }
      ]
    }
    actions: { actionGroupResourceIds: [group.outputs.resourceId] }
    enableTelemetry: false
  }
}]
