// Log Analytics and Application Insights. Telemetry is taken only with the app's identity: instrumentation keys are off.

@description('Name of the Log Analytics workspace.')
param workspaceName string

@description('Name of the Application Insights component.')
param componentName string

@description('Region of both.')
param location string

@description('Tags of both.')
param tags object

@description('How many days logs and metrics are kept.')
param logDays int

@description('Object id of the app\'s identity.')
param appPrincipalId string

module workspace 'br/public:avm/res/operational-insights/workspace:0.16.1' = {
  name: 'workspace'
  params: {
    name: workspaceName
    location: location
    tags: tags
    dataRetention: logDays
    features: { disableLocalAuth: true, enableLogAccessUsingOnlyResourcePermissions: true }
    forceCmkForQuery: false
    enableTelemetry: false
  }
}

module component 'br/public:avm/res/insights/component:0.8.0' = {
  name: 'component'
  params: {
    name: componentName
    location: location
    tags: tags
    workspaceResourceId: workspace.outputs.resourceId
    disableLocalAuth: true
    disableIpMasking: false
    retentionInDays: logDays <= 30 ? 30 : (logDays <= 90 ? 90 : (logDays <= 365 ? 365 : 730))
    roleAssignments: [
      {
        // Monitoring Metrics Publisher: send telemetry, read nothing.
        roleDefinitionIdOrName: '3913510d-42f4-4e42-8a64-420c390055eb'
        principalId: appPrincipalId
        principalType: 'ServicePrincipal'
      }
    ]
    enableTelemetry: false
  }
}

@description('Resource id of the workspace.')
output workspaceId string = workspace.outputs.resourceId

@description('Where telemetry is sent. Holds no secret: local authentication is off.')
output connectionString string = component.outputs.connectionString
