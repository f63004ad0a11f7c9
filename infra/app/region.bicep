// One region's stack: network, storage, private endpoints, the app. Nothing here is shared with another region, so that
// the loss of one leaves the other whole.

@description('Unique part of the names in this region.')
param token string

@description('Prefixes of names.')
param abbreviations object

@description('Region of this stack.')
param location string

@description('Tags of all resources.')
param tags object

@description('Name of the service in azure.yaml.')
param serviceName string

@description('Address range of the virtual network.')
param addressPrefix string

@description('Resource id of the identity that the app uses for itself.')
param appIdentityId string

@description('Client id of the identity that the app uses for itself.')
param appClientId string

@description('Object id of the identity that the app uses for itself.')
param appPrincipalId string

@description('Resource id of the identity that jobs use on target servers.')
param agentIdentityId string

@description('Resource id of the key vault.')
param vaultId string

@description('Address of the key vault.')
param vaultUri string

@description('Where telemetry is sent.')
param connectionString string

@description('Resource ids of servers that get a private endpoint: of the job database and of targets.')
param sqlServerIds array

@description('Resource ids of servers whose owner has to approve the private endpoint.')
param requestedSqlServerIds array

@description('Whether the app may make private endpoints itself.')
param privateEndpointsByApi bool

@description('Largest capacity tier, in concurrent target databases.')
param capacity int

@description('Target databases at once on one instance.')
param instanceConcurrency int

@description('Memory of an instance in MB.')
param instanceMemory int

@description('Instances that always run for target databases.')
param alwaysReadyWorkers int

@description('Python version of the app.')
param pythonVersion string

@description('How often the timer looks for due work.')
param tickSchedule string

@description('How many days executions are kept.')
param historyDays int

@description('Agent that exists from the start, or empty.')
param agentName string

@description('Resource group in the API\'s paths.')
param agentResourceGroup string

@description('Logical server in the API\'s paths.')
param agentServerName string

@description('Region of the agent.')
param agentLocation string

@description('Host name of the job database.')
param databaseHost string

@description('Name of the job database.')
param databaseName string

@description('Servers that jobs may connect to.')
param allowedTargetServers array

@description('Client id of the app registration.')
param clientId string

@description('Application id URI of the app registration.')
param audience string

@description('Address ranges (CIDR) that may call the API over the internet.')
param apiClients array

@description('Whether a new version can be deployed over the internet.')
param publicDeployment bool

// Rounded up. The job database keeps the capacity; this only bounds what the platform may start.
var workerInstances = (capacity + instanceConcurrency - 1) / instanceConcurrency
// A bound below 40 is refused in some regions.
var leastMaximum = 40

module network 'network.bicep' = {
  name: 'network'
  params: {
    name: '${abbreviations.virtualNetwork}${token}'
    location: location
    tags: tags
    addressPrefix: addressPrefix
  }
}

module storage 'storage.bicep' = {
  name: 'storage'
  params: {
    name: '${abbreviations.storageAccount}${token}'
    location: location
    tags: tags
    appPrincipalId: appPrincipalId
    packageContainer: 'package'
  }
}

var ownEndpoints = [
  { kind: 'blob', group: 'blob', ids: [storage.outputs.id] }
  { kind: 'queue', group: 'queue', ids: [storage.outputs.id] }
  { kind: 'vault', group: 'vault', ids: [vaultId] }
]

module endpoints 'private-endpoints.bicep' = [for i in range(0, 3): {
  name: 'endpoints-${i}'
  params: {
    targetIds: ownEndpoints[i].ids
    groupId: ownEndpoints[i].group
    subnetId: network.outputs.endpointSubnetId
    zoneId: network.outputs.zoneIds[ownEndpoints[i].kind]
    location: location
    tags: tags
  }
}]

module sqlEndpoints 'private-endpoints.bicep' = {
  name: 'endpoints-sql'
  params: {
    targetIds: sqlServerIds
    groupId: 'sqlServer'
    subnetId: network.outputs.endpointSubnetId
    zoneId: network.outputs.zoneIds.sql
    location: location
    tags: tags
  }
}

module requestedEndpoints 'private-endpoints.bicep' = {
  name: 'endpoints-requested'
  params: {
    targetIds: requestedSqlServerIds
    groupId: 'sqlServer'
    requested: true
    subnetId: network.outputs.endpointSubnetId
    zoneId: network.outputs.zoneIds.sql
    location: location
    tags: tags
  }
}

module endpointRights 'private-endpoint-rights.bicep' = if (privateEndpointsByApi) {
  name: 'private-endpoint-rights'
  params: { appPrincipalId: appPrincipalId }
}

module settings 'settings.bicep' = {
  name: 'settings'
  params: {
    appClientId: appClientId
    storageName: storage.outputs.name
    vaultUri: vaultUri
    privateEndpointSubnetId: privateEndpointsByApi ? network.outputs.endpointSubnetId : ''
    connectionString: connectionString
    agentResourceGroup: agentResourceGroup
    agentServerName: agentServerName
    agentLocation: agentLocation
    agentName: agentName
    databaseHost: databaseHost
    databaseName: databaseName
    capacity: capacity
    instanceConcurrency: instanceConcurrency
    tickSchedule: tickSchedule
    historyDays: historyDays
    allowedTargetServers: allowedTargetServers
    clientId: clientId
    audience: audience
  }
}

module app 'function-app.bicep' = {
  name: 'function-app'
  params: {
    name: '${abbreviations.functionApp}${token}'
    planName: '${abbreviations.appServicePlan}${token}'
    location: location
    tags: tags
    serviceName: serviceName
    appIdentityId: appIdentityId
    agentIdentityId: agentIdentityId
    subnetId: network.outputs.appSubnetId
    packageUrl: storage.outputs.packageUrl
    settings: settings.outputs.settings
    pythonVersion: pythonVersion
    instanceMemory: instanceMemory
    maximumInstances: max(leastMaximum, workerInstances + alwaysReadyWorkers)
    alwaysReadyWorkers: alwaysReadyWorkers
    clientId: clientId
    audience: audience
    apiClients: apiClients
    publicDeployment: publicDeployment
  }
  // The app reads its storage and the vault when it starts.
  dependsOn: [endpoints, sqlEndpoints]
}

module appEndpoint 'private-endpoints.bicep' = {
  name: 'endpoints-app'
  params: {
    targetIds: [app.outputs.id]
    groupId: 'sites'
    subnetId: network.outputs.endpointSubnetId
    zoneId: network.outputs.zoneIds.app
    location: location
    tags: tags
  }
}

@description('Name of the function app.')
output appName string = app.outputs.name

@description('Address of the API.')
output url string = app.outputs.url
