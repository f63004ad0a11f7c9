// The other way to run the app: the same code in a container (Dockerfile) on Azure Container Apps, with the queues as the
// measure for scaling. Deployed beside or instead of the Functions app, after main.bicep, into the same resource group;
// both at once do no harm. For scripts of many hours: see docs/deploy.md.

@description('Name of the environment, as given to main.bicep.')
param environmentName string

@description('Region, as given to main.bicep.')
param location string = resourceGroup().location

@description('The image, with its registry and a digest or version.')
param image string

@description('Login server of the registry, when it is an Azure Container Registry that the app\'s identity may pull from. Empty: a public one.')
param registryServer string = ''

@description('Replicas that always run. At least 1, because the timer runs in one; as many as maxReplicas: none is ever stopped under a script.')
@minValue(1)
param minReplicas int = 1

@description('Largest number of replicas: capacity divided by instanceConcurrency, rounded up.')
@minValue(1)
param maxReplicas int = 1

@description('Target databases at once on one replica.')
@minValue(33)
@maxValue(512)
param instanceConcurrency int = 128

@description('Largest capacity tier, in concurrent target databases.')
param capacity int = 100

@description('Output JOB_DATABASE_HOST of main.bicep.')
param databaseHost string

@description('Output JOB_DATABASE_NAME of main.bicep.')
param databaseName string

@description('Output JOB_SERVER_NAME of main.bicep.')
param agentServerName string

@description('Output JOB_SERVER_RESOURCE_GROUP of main.bicep.')
param agentResourceGroup string

@description('Agent that exists from the start, or empty.')
param agentName string = ''

@description('Servers that jobs may connect to.')
param allowedTargetServers array = []

@description('Client id of the app registration.')
param clientId string

@description('Output API_AUDIENCE of main.bicep.')
param audience string

@description('How often the timer looks for due work.')
param tickSchedule string = '*/10 * * * * *'

@description('How many days executions are kept.')
param historyDays int = 45

@description('Tags of all resources.')
param tags object = {}

var abbreviations = loadJsonContent('../abbreviations.json')
var token = toLower(uniqueString(subscription().id, environmentName, location))
var containerSettings = [
  { name: 'FUNCTIONS_WORKER_RUNTIME', value: 'python' }
  // Otherwise each replica takes its own name for the host's id, and with it locks of its own.
  { name: 'AzureFunctionsWebHost__hostid', value: 'elastic-jobs-container' }
]
var queues = ['elastic-jobs-steps', 'elastic-jobs-targets']

resource appIdentity 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' existing = {
  name: '${abbreviations.identity}app-${token}'
}

resource agentIdentity 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' existing = {
  name: '${abbreviations.identity}agent-${token}'
}

resource component 'Microsoft.Insights/components@2020-02-02' existing = {
  name: '${abbreviations.applicationInsights}${token}'
}

resource network 'Microsoft.Network/virtualNetworks@2024-07-01' existing = {
  name: '${abbreviations.virtualNetwork}${token}'
}

module settings '../app/settings.bicep' = {
  name: 'container-settings'
  params: {
    appClientId: appIdentity.properties.clientId
    storageName: '${abbreviations.storageAccount}${token}'
    vaultUri: 'https://${abbreviations.keyVault}${token}${environment().suffixes.keyvaultDns}'
    privateEndpointSubnetId: ''
    connectionString: component.properties.ConnectionString
    agentResourceGroup: agentResourceGroup
    agentServerName: agentServerName
    agentLocation: location
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

module host 'br/public:avm/res/app/managed-environment:0.15.0' = {
  name: 'container-host'
  params: {
    name: 'cae-${token}'
    location: location
    tags: tags
    infrastructureSubnetResourceId: '${network.id}/subnets/containers'
    internal: true
    publicNetworkAccess: 'Disabled'
    zoneRedundant: false
    workloadProfiles: [{ name: 'Consumption', workloadProfileType: 'Consumption' }]
    enableTelemetry: false
  }
}

module app 'br/public:avm/res/app/container-app:0.23.0' = {
  name: 'container-app'
  params: {
    name: 'ca-${token}'
    location: location
    tags: tags
    environmentResourceId: host.outputs.resourceId
    managedIdentities: { userAssignedResourceIds: [appIdentity.id, agentIdentity.id] }
    registries: empty(registryServer) ? [] : [{ server: registryServer, identity: appIdentity.id }]
    // Inside the virtual network only: the environment is internal.
    ingressExternal: true
    ingressAllowInsecure: false
    ingressTargetPort: 80
    ingressTransport: 'http'
    // The longest that Container Apps waits for a replica that it stops.
    terminationGracePeriodSeconds: 600
    scaleSettings: {
      minReplicas: minReplicas
      maxReplicas: maxReplicas
      rules: [for queue in queues: {
        name: queue
        azureQueue: {
          accountName: '${abbreviations.storageAccount}${token}'
          queueName: queue
          queueLength: 32
          identity: appIdentity.id
        }
      }]
    }
    containers: [
      {
        name: 'elastic-jobs'
        image: image
        resources: { cpu: json('1.0'), memory: '2Gi' }
        env: concat(map(items(settings.outputs.settings), setting => { name: setting.key, value: setting.value }), containerSettings)
        probes: [{ type: 'Readiness', httpGet: { path: '/health', port: 80 }, periodSeconds: 15, failureThreshold: 4 }]
      }
    ]
    enableTelemetry: false
  }
}

@description('Address of the API inside the virtual network.')
output apiUrl string = 'https://${app.outputs.fqdn}'
