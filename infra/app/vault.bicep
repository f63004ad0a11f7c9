// The vault of the passwords of credentials. Reached over private endpoints only; the app writes into it and reads from it.

@description('Name of the vault.')
param name string

@description('Region of the vault.')
param location string

@description('Tags of the vault.')
param tags object

@description('Object id of the app\'s identity.')
param appPrincipalId string

module vault 'br/public:avm/res/key-vault/vault:0.14.0' = {
  name: 'key-vault'
  params: {
    name: name
    location: location
    tags: tags
    sku: 'standard'
    enableRbacAuthorization: true
    enablePurgeProtection: true
    enableVaultForDeployment: false
    enableVaultForTemplateDeployment: false
    enableVaultForDiskEncryption: false
    publicNetworkAccess: 'Disabled'
    networkAcls: { defaultAction: 'Deny', bypass: 'None' }
    roleAssignments: [
      {
        // Key Vault Secrets Officer: write, read, delete and recover secrets; the app keeps credentials' passwords here.
        // Purge protection keeps also this identity from destroying a deleted secret.
        roleDefinitionIdOrName: 'b86a8fe4-44ce-4948-aee5-eccb2c155cd7'
        principalId: appPrincipalId
        principalType: 'ServicePrincipal'
      }
    ]
    enableTelemetry: false
  }
}

@description('Resource id of the vault.')
output id string = vault.outputs.resourceId

@description('Address of the vault.')
output uri string = vault.outputs.uri
