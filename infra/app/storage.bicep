// Storage of one region: the queues, the host's own state and the deployed package. No keys, no public access.

@description('Name of the storage account.')
param name string

@description('Region of the account.')
param location string

@description('Tags of the account.')
param tags object

@description('Object id of the app\'s identity.')
param appPrincipalId string

@description('Container of the deployed package.')
param packageContainer string

module account 'br/public:avm/res/storage/storage-account:0.33.0' = {
  name: 'storage-account'
  params: {
    name: name
    location: location
    tags: tags
    // Locally redundant: a queue message is only a wake-up call, and the job database sends lost ones again.
    skuName: 'Standard_LRS'
    allowSharedKeyAccess: false
    allowBlobPublicAccess: false
    defaultToOAuthAuthentication: true
    minimumTlsVersion: 'TLS1_2'
    publicNetworkAccess: 'Disabled'
    networkAcls: { defaultAction: 'Deny', bypass: 'None' }
    blobServices: { containers: [{ name: packageContainer, publicAccess: 'None' }] }
    // The names of elastic_jobs/agent/messages.py; a test compares.
    queueServices: { queues: [{ name: 'elastic-jobs-steps' }, { name: 'elastic-jobs-targets' }] }
    roleAssignments: [
      {
        // Storage Blob Data Owner: what the Functions host needs for its locks, with a connection by identity.
        roleDefinitionIdOrName: 'b7e6dc6d-f1e8-4753-8033-0f276bb0955b'
        principalId: appPrincipalId
        principalType: 'ServicePrincipal'
      }
      {
        // Storage Queue Data Contributor: send, receive and delete messages, also those set aside in poison queues.
        roleDefinitionIdOrName: '974c5e8b-45b9-4653-ba55-5f855dd0fb88'
        principalId: appPrincipalId
        principalType: 'ServicePrincipal'
      }
    ]
    enableTelemetry: false
  }
}

@description('Resource id of the account.')
output id string = account.outputs.resourceId

@description('Name of the account.')
output name string = account.outputs.name

@description('Where the package is deployed to.')
output packageUrl string = 'https://${account.outputs.name}.blob.${environment().suffixes.storage}/${packageContainer}'
