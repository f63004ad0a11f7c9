// The app settings, for the Functions app and for the container alike. Names and meaning: docs/settings.md.

@description('Client id of the identity that the app uses for itself.')
param appClientId string

@description('Name of the region\'s storage account.')
param storageName string

@description('Address of the key vault of credentials.')
param vaultUri string

@description('Subnet in which the app makes private endpoints; empty: it makes none.')
param privateEndpointSubnetId string

@description('Where telemetry is sent.')
param connectionString string

@description('Resource group in the API\'s paths.')
param agentResourceGroup string

@description('Logical server in the API\'s paths.')
param agentServerName string

@description('Region of the agent.')
param agentLocation string

@description('Agent that exists from the start, or empty.')
param agentName string

@description('Host name of the job database.')
param databaseHost string

@description('Name of the job database.')
param databaseName string

@description('Largest capacity tier, in concurrent target databases.')
param capacity int

@description('Target databases at once on one instance.')
param instanceConcurrency int

@description('How often the timer looks for due work.')
param tickSchedule string

@description('How many days executions are kept.')
param historyDays int

@description('Servers that jobs may connect to.')
param allowedTargetServers array

@description('Client id of the app registration.')
param clientId string

@description('Application id URI of the app registration.')
param audience string

// As in host.json; the rest of an instance's concurrency is its newBatchThreshold.
var batchSize = 32

@description('All app settings; none is a secret.')
output settings object = {
  AzureWebJobsStorage__credential: 'managedidentity'
  AzureWebJobsStorage__clientId: appClientId
  AzureWebJobsStorage__blobServiceUri: 'https://${storageName}.blob.${environment().suffixes.storage}'
  AzureWebJobsStorage__queueServiceUri: 'https://${storageName}.queue.${environment().suffixes.storage}'
  AzureFunctionsJobHost__extensions__queues__newBatchThreshold: string(instanceConcurrency - batchSize)
  AZURE_CLIENT_ID: appClientId
  APPLICATIONINSIGHTS_CONNECTION_STRING: connectionString
  APPLICATIONINSIGHTS_AUTHENTICATION_STRING: 'ClientId=${appClientId};Authorization=AAD'
  TICK_SCHEDULE: tickSchedule
  JOB_DATABASE_URL: 'mssql+pyodbc://${databaseHost}/${databaseName}'
  AGENT_SUBSCRIPTION_ID: subscription().subscriptionId
  AGENT_RESOURCE_GROUP: agentResourceGroup
  AGENT_SERVER_NAME: agentServerName
  AGENT_DATABASE_NAME: databaseName
  AGENT_LOCATION: agentLocation
  AGENT_NAME: agentName
  MAXIMUM_CAPACITY: string(capacity)
  AUTH_MODE: 'entra'
  ENTRA_TENANT_ID: tenant().tenantId
  ENTRA_AUDIENCE: '${clientId},${audience}'
  ENTRA_AUTHORITY: environment().authentication.loginEndpoint
  CREDENTIAL_STORE: 'keyvault'
  KEY_VAULT_URL: vaultUri
  RESOURCE_MANAGER_URL: environment().resourceManager
  PRIVATE_ENDPOINT_SUBNET_ID: privateEndpointSubnetId
  SQL_SERVER_SUFFIX: environment().suffixes.sqlServerHostname
  ALLOWED_TARGET_SERVERS: join(allowedTargetServers, ',')
  INSTANCE_CONCURRENCY: string(instanceConcurrency)
  HISTORY_DAYS: string(historyDays)
}
