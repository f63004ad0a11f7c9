// The app registration that the API's tokens are issued for, with its four roles. It has no secret and no certificate.
extension microsoftGraphV1

@description('Key of the registration in the directory; a second deployment with it changes the same registration.')
param uniqueName string

@description('Name that people see when they sign in and when roles are given.')
param displayName string

@description('Object id of who gets all four roles at first. Others are added under Enterprise applications.')
param administratorObjectId string

@description('Where people come back to after they have signed in to the portal: one address for each app.')
param redirectUris array

var identifierUri = 'api://${tenant().tenantId}/${uniqueName}'
var scopeId = guid(uniqueName, 'user_impersonation')
// Azure CLI and Azure PowerShell: they may ask for tokens without a question of consent.
var azureCli = '04b07795-8ddb-461a-bbee-02f9e1bf7b46'
var azurePowerShell = '1950a258-227b-4e31-a9cf-717495945fc2'
var roles = [
  { value: 'Reader', description: 'Reads agents, jobs, target groups and executions.' }
  { value: 'Operator', description: 'Reads, and starts and cancels executions.' }
  { value: 'Contributor', description: 'Reads, and changes agents, jobs, steps and target groups.' }
  { value: 'CredentialAdmin', description: 'Reads, and changes credentials.' }
]

resource registration 'Microsoft.Graph/applications@v1.0' = {
  uniqueName: uniqueName
  displayName: displayName
  signInAudience: 'AzureADMyOrg'
  identifierUris: [identifierUri]
  api: {
    requestedAccessTokenVersion: 2
    oauth2PermissionScopes: [
      {
        id: scopeId
        value: 'user_impersonation'
        type: 'User'
        isEnabled: true
        adminConsentDisplayName: 'Use Elastic Jobs'
        adminConsentDescription: 'Use Elastic Jobs as the signed-in user, with the roles that the user has.'
        userConsentDisplayName: 'Use Elastic Jobs'
        userConsentDescription: 'Use Elastic Jobs as you, with the roles that you have.'
      }
    ]
    preAuthorizedApplications: [
      { appId: azureCli, delegatedPermissionIds: [scopeId] }
      { appId: azurePowerShell, delegatedPermissionIds: [scopeId] }
    ]
  }
  web: {
    redirectUris: redirectUris
    // Easy Auth signs people in without a secret: Entra posts an ID token to it, and nothing else.
    implicitGrantSettings: { enableIdTokenIssuance: true, enableAccessTokenIssuance: false }
  }
  appRoles: [for role in roles: {
    id: guid(uniqueName, role.value)
    value: role.value
    displayName: role.value
    description: role.description
    allowedMemberTypes: ['User', 'Application']
    isEnabled: true
  }]
}

resource principal 'Microsoft.Graph/servicePrincipals@v1.0' = {
  appId: registration.appId
  displayName: displayName
  // Without a role nobody even gets a token.
  appRoleAssignmentRequired: true
}

resource assignments 'Microsoft.Graph/appRoleAssignedTo@v1.0' = [for role in roles: {
  appRoleId: guid(uniqueName, role.value)
  principalId: administratorObjectId
  resourceId: principal.id
}]

@description('Client id of the registration: the audience of access tokens.')
output clientId string = registration.appId

@description('Application id URI: clients ask for the scope <this>/.default.')
output audience string = identifierUri
