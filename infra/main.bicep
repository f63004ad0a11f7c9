// The whole deployment: identities, job database, vault, monitoring, sign-in, alerts, and one stack per region.
// Every resource is reached by identity over private endpoints; no key and no password appears in any file here.
targetScope = 'subscription'

@description('Name of this environment. Names of resources are derived from it.')
@minLength(1)
@maxLength(20)
param environmentName string

@description('Azure region of the agent and of the job database.')
@metadata({ azd: { type: 'location' } })
param location string

@description('Second region: the app runs there too, on the same job database through a failover group. Empty: one region.')
param secondaryLocation string = ''

@description('Object id of who deploys: gets all roles of the API, and administers the job database unless another administrator is named.')
param deployerObjectId string

@description('What deployerObjectId is.')
@allowed(['User', 'Group', 'ServicePrincipal'])
param deployerType string = 'User'

@description('Tags of all resources.')
param tags object = {}

@description('When not empty, the agent of this name exists from the start; otherwise the first PUT creates it.')
param agentName string = ''

@description('Capacity tier: target databases at once, over all instances and regions. Largest tier that the agent may be set to.')
@allowed(['JA100', 'JA200', 'JA400', 'JA800', 'JA1600', 'JA3200'])
param capacity string = 'JA100'

@description('Target databases at once on one instance, from 33 to 512. Instances are capacity divided by this, rounded up, and some for the other functions.')
@minValue(33)
@maxValue(512)
param instanceConcurrency int = 128

@description('Memory of an instance in MB; it brings its share of CPU: 2048 has one core.')
@allowed([512, 2048, 4096])
param instanceMemory int = 2048

@description('Instances that always run for target databases, so that a start does not wait for one. Each costs its base price.')
@minValue(0)
@maxValue(100)
param alwaysReadyWorkers int = 0

@description('Python version of the app.')
@allowed(['3.11', '3.13'])
param pythonVersion string = '3.11'

@description('How often the timer looks for due work, as NCRONTAB with seconds.')
param tickSchedule string = '*/10 * * * * *'

@description('How many days executions are kept after their end.')
@minValue(1)
param historyDays int = 45

@description('An existing logical server for the job database, instead of a new one. It must allow Entra logins.')
param existingSqlServerName string = ''

@description('Resource group of the existing logical server.')
param existingSqlServerResourceGroup string = ''

@description('Name of the job database. On an existing server it must exist.')
param databaseName string = 'JobDatabase'

@description('Size of a new job database. Auto-pausing sizes never pause: the tick asks every few seconds.')
param databaseSku object = { name: 'S2', tier: 'Standard' }

@description('Object id of the Entra administrator of a new server; a group is best. Empty: deployerObjectId.')
param sqlAdministratorObjectId string = ''

@description('Display name of the Entra administrator of a new server.')
param sqlAdministratorName string = 'elastic-jobs-administrator'

@description('What sqlAdministratorObjectId is.')
@allowed(['User', 'Group', 'Application'])
param sqlAdministratorType string = 'User'

@description('Resource ids of target servers that get a private endpoint. Who deploys must be allowed to approve it on each server.')
param targetServerIds array = []

@description('Resource ids of target servers that get a private endpoint which their owner has to approve.')
param requestedTargetServerIds array = []

@description('Further servers that jobs may connect to, without a private endpoint: full names, or *.suffix for one label.')
param allowedTargetServers array = []

@description('Whether the app may make private endpoints to target servers itself (agents\' private endpoints of the API). Gives its identity a role on the network.')
param privateEndpointsByApi bool = false

@description('Address range of the virtual network, at least a /24.')
param addressPrefix string = '10.80.0.0/24'

@description('Address range of the virtual network in the second region, at least a /24.')
param secondaryAddressPrefix string = '10.80.1.0/24'

@description('Address ranges (CIDR) that may call the API over the internet. Empty: only through its private endpoint.')
param apiClients array = []

@description('Whether a new version can be deployed over the internet (with an Entra token; passwords are off). false: only from the virtual network.')
param publicDeployment bool = true

@description('Client id of an existing app registration with the four roles, when you may not create one. Empty: one is created.')
param existingClientId string = ''

@description('Application id URI of the existing app registration.')
param existingAudience string = ''

@description('Mail addresses that get alerts.')
param alertEmails array = []

@description('Phones that get alerts as SMS: objects with countryCode and phoneNumber.')
param alertPhones array = []

@description('Addresses of webhooks that get alerts (common alert schema). Keep secrets out of them.')
param alertWebhooks array = []

@description('Alert when no tick was seen for so many minutes.')
@minValue(5)
@maxValue(50)
param silenceMinutes int = 5

@description('Alert when a target database has waited for its turn for so many minutes.')
@minValue(1)
param queueAgeMinutes int = 15

@description('Alert when no slot was free for so many minutes.')
@allowed([5, 10, 15, 30, 45])
param capacityFullMinutes int = 30

@description('How many days logs and metrics are kept.')
@minValue(30)
@maxValue(730)
param logDays int = 90

var abbreviations = loadJsonContent('abbreviations.json')
var token = toLower(uniqueString(subscription().id, environmentName, location))
var allTags = union(tags, { 'azd-env-name': environmentName })
var groupName = '${abbreviations.resourceGroup}${environmentName}'
var twoRegions = !empty(secondaryLocation)
var firstRegion = {
  location: location
  group: groupName
  prefix: addressPrefix
  suffix: ''
  service: 'agent'
}
var secondRegion = {
  location: secondaryLocation
  group: '${groupName}-${secondaryLocation}'
  prefix: secondaryAddressPrefix
  suffix: '2'
  service: 'agent-second'
}
var regions = twoRegions ? [firstRegion, secondRegion] : [firstRegion]
// Easy Auth's own path; the name is the one of app/region.bicep.
var signInAddresses = [for region in regions: 'https://${abbreviations.functionApp}${token}${region.suffix}.azurewebsites.net/.auth/login/aad/callback']
var newServer = empty(existingSqlServerName)
var serverName = newServer ? '${abbreviations.sqlServer}${token}' : existingSqlServerName
var serverGroup = newServer ? groupName : existingSqlServerResourceGroup
var secondServerName = '${abbreviations.sqlServer}${token}-2'
var serverId = resourceId(subscription().subscriptionId, serverGroup, 'Microsoft.Sql/servers', serverName)
var secondServerIds = twoRegions && newServer ? [resourceId(subscription().subscriptionId, groupName, 'Microsoft.Sql/servers', secondServerName)] : []
var listener = twoRegions && newServer ? '${abbreviations.failoverGroup}${token}' : serverName
var sqlSuffix = environment().suffixes.sqlServerHostname
// SQL Server has another word for a service principal.
var deployerAsAdministrator = deployerType == 'ServicePrincipal' ? 'Application' : deployerType
var privateTargets = concat(targetServerIds, requestedTargetServerIds)
var namedTargets = map(privateTargets, id => '${last(split(id, '/'))}${sqlSuffix}')

resource groups 'Microsoft.Resources/resourceGroups@2025-04-01' = [for region in regions: {
  name: region.group
  location: region.location
  tags: allTags
}]

module identities 'app/identities.bicep' = {
  name: 'identities'
  scope: resourceGroup(groupName)
  params: {
    appIdentityName: '${abbreviations.identity}app-${token}'
    agentIdentityName: '${abbreviations.identity}agent-${token}'
    location: location
    tags: allTags
  }
  dependsOn: [groups]
}

module monitoring 'app/monitoring.bicep' = {
  name: 'monitoring'
  scope: resourceGroup(groupName)
  params: {
    workspaceName: '${abbreviations.logAnalytics}${token}'
    componentName: '${abbreviations.applicationInsights}${token}'
    location: location
    tags: allTags
    logDays: logDays
    appPrincipalId: identities.outputs.appPrincipalId
  }
}

module vault 'app/vault.bicep' = {
  name: 'vault'
  scope: resourceGroup(groupName)
  params: {
    name: '${abbreviations.keyVault}${token}'
    location: location
    tags: allTags
    appPrincipalId: identities.outputs.appPrincipalId
  }
}

module jobDatabase 'app/job-database.bicep' = if (newServer) {
  name: 'job-database'
  scope: resourceGroup(groupName)
  params: {
    serverName: serverName
    secondServerName: twoRegions ? secondServerName : ''
    failoverGroupName: listener
    location: location
    secondaryLocation: secondaryLocation
    tags: allTags
    databaseName: databaseName
    databaseSku: databaseSku
    administratorName: sqlAdministratorName
    administratorObjectId: empty(sqlAdministratorObjectId) ? deployerObjectId : sqlAdministratorObjectId
    administratorType: empty(sqlAdministratorObjectId) ? deployerAsAdministrator : sqlAdministratorType
  }
  dependsOn: [groups]
}

module directory 'app/directory.bicep' = if (empty(existingClientId)) {
  name: 'directory'
  scope: resourceGroup(groupName)
  params: {
    uniqueName: 'elastic-jobs-${environmentName}-${token}'
    displayName: 'Elastic Jobs (${environmentName})'
    administratorObjectId: deployerObjectId
    redirectUris: signInAddresses
  }
  dependsOn: [groups]
}

var clientId = empty(existingClientId) ? directory!.outputs.clientId : existingClientId
var audience = empty(existingClientId) ? directory!.outputs.audience : existingAudience

module stacks 'app/region.bicep' = [for (region, i) in regions: {
  name: 'region-${i}'
  scope: resourceGroup(region.group)
  params: {
    token: '${token}${region.suffix}'
    abbreviations: abbreviations
    location: region.location
    tags: allTags
    serviceName: region.service
    addressPrefix: region.prefix
    appIdentityId: identities.outputs.appId
    appClientId: identities.outputs.appClientId
    appPrincipalId: identities.outputs.appPrincipalId
    agentIdentityId: identities.outputs.agentId
    vaultId: vault.outputs.id
    vaultUri: vault.outputs.uri
    connectionString: monitoring.outputs.connectionString
    sqlServerIds: concat([serverId], secondServerIds, targetServerIds)
    requestedSqlServerIds: requestedTargetServerIds
    privateEndpointsByApi: privateEndpointsByApi
    capacity: int(replace(capacity, 'JA', ''))
    instanceConcurrency: instanceConcurrency
    instanceMemory: instanceMemory
    alwaysReadyWorkers: alwaysReadyWorkers
    pythonVersion: pythonVersion
    tickSchedule: tickSchedule
    historyDays: historyDays
    agentName: agentName
    agentResourceGroup: serverGroup
    agentServerName: serverName
    agentLocation: location
    databaseHost: '${listener}${sqlSuffix}'
    databaseName: databaseName
    allowedTargetServers: union(namedTargets, allowedTargetServers)
    clientId: clientId
    audience: audience
    apiClients: apiClients
    publicDeployment: publicDeployment
  }
  dependsOn: [groups, jobDatabase]
}]

module alerts 'app/alerts.bicep' = {
  name: 'alerts'
  scope: resourceGroup(groupName)
  params: {
    actionGroupName: '${abbreviations.actionGroup}${token}'
    environmentName: environmentName
    location: location
    tags: allTags
    workspaceId: monitoring.outputs.workspaceId
    emails: alertEmails
    phones: alertPhones
    webhooks: alertWebhooks
    silenceMinutes: silenceMinutes
    queueAgeMinutes: queueAgeMinutes
    capacityFullMinutes: capacityFullMinutes
  }
}

@description('Region of the first stack.')
output AZURE_LOCATION string = location

@description('Tenant whose tokens the API takes.')
output AZURE_TENANT_ID string = tenant().tenantId

@description('Resource group of everything but the second region.')
output AZURE_RESOURCE_GROUP string = groupName

@description('Address of the API.')
output API_URL string = stacks[0].outputs.url

@description('Address of the API in the second region, or empty.')
output SECOND_API_URL string = twoRegions ? stacks[1].outputs.url : ''

@description('Application id URI: clients ask for the scope <this>/.default.')
output API_AUDIENCE string = audience

@description('Name of the function app.')
output FUNCTION_APP_NAME string = stacks[0].outputs.appName

@description('Name of the function app in the second region, or empty.')
output SECOND_FUNCTION_APP_NAME string = twoRegions ? stacks[1].outputs.appName : ''

@description('Resource group of the second region, or empty.')
output SECOND_RESOURCE_GROUP string = twoRegions ? regions[1].group : ''

@description('Resource group of the server of the job database.')
output JOB_SERVER_RESOURCE_GROUP string = serverGroup

@description('Name of the server of the job database.')
output JOB_SERVER_NAME string = serverName

@description('Host name of the job database: the server, or the listener of the failover group.')
output JOB_DATABASE_HOST string = '${listener}${sqlSuffix}'

@description('Name of the job database.')
output JOB_DATABASE_NAME string = databaseName

@description('Name of the identity that the app uses for itself: the database user in the job database.')
output APP_IDENTITY_NAME string = identities.outputs.appName

@description('Client id of the identity that the app uses for itself.')
output APP_IDENTITY_CLIENT_ID string = identities.outputs.appClientId

@description('Resource id of the identity that jobs use on target servers: give it to the agent.')
output AGENT_IDENTITY_ID string = identities.outputs.agentId

@description('Name of the identity that jobs use: the database user in each target database.')
output AGENT_IDENTITY_NAME string = identities.outputs.agentName

@description('Client id of the identity that jobs use.')
output AGENT_IDENTITY_CLIENT_ID string = identities.outputs.agentClientId
