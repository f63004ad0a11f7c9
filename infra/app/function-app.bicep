// The Functions app on Flex Consumption, and Easy Auth in front of it as the second wall: the app itself checks every
// token again, and believes no header that Easy Auth adds.

@description('Name of the app.')
param name string

@description('Name of its plan.')
param planName string

@description('Region of the app.')
param location string

@description('Tags of the app.')
param tags object

@description('Name of the service in azure.yaml.')
param serviceName string

@description('Resource id of the identity that the app uses for itself.')
param appIdentityId string

@description('Resource id of the identity that jobs use on target servers.')
param agentIdentityId string

@description('Subnet of outgoing calls.')
param subnetId string

@description('Where the package is deployed to.')
param packageUrl string

@description('App settings.')
param settings object

@description('Python version.')
param pythonVersion string

@description('Memory of an instance in MB.')
param instanceMemory int

@description('Largest number of instances.')
param maximumInstances int

@description('Instances that always run for target databases.')
param alwaysReadyWorkers int

@description('Client id of the app registration.')
param clientId string

@description('Application id URI of the app registration.')
param audience string

@description('Address ranges (CIDR) that may call the API over the internet.')
param apiClients array

@description('Whether a new version can be deployed over the internet.')
param publicDeployment bool

var clientRules = [for (range, i) in apiClients: {
  name: 'client-${i}'
  ipAddress: range
  action: 'Allow'
  priority: 100 + i
}]

module plan 'br/public:avm/res/web/serverfarm:0.7.0' = {
  name: 'plan'
  params: {
    name: planName
    location: location
    tags: tags
    kind: 'functionapp'
    skuName: 'FC1'
    reserved: true
    zoneRedundant: false
    enableTelemetry: false
  }
}

module app 'br/public:avm/res/web/site:0.24.0' = {
  name: 'app'
  params: {
    name: name
    location: location
    tags: union(tags, { 'azd-service-name': serviceName })
    kind: 'functionapp,linux'
    serverFarmResourceId: plan.outputs.resourceId
    managedIdentities: { userAssignedResourceIds: [appIdentityId, agentIdentityId] }
    virtualNetworkSubnetResourceId: subnetId
    httpsOnly: true
    // Reachable, but closed: the rules below let in nobody but apiClients. Disabled would shut out deployments, too.
    publicNetworkAccess: 'Enabled'
    basicPublishingCredentialsPolicies: [{ name: 'ftp', allow: false }, { name: 'scm', allow: false }]
    functionAppConfig: {
      deployment: {
        storage: {
          type: 'blobContainer'
          value: packageUrl
          authentication: { type: 'UserAssignedIdentity', userAssignedIdentityResourceId: appIdentityId }
        }
      }
      scaleAndConcurrency: {
        instanceMemoryMB: instanceMemory
        maximumInstanceCount: maximumInstances
        alwaysReady: alwaysReadyWorkers > 0 ? [{ name: 'function:run_target', instanceCount: alwaysReadyWorkers }] : []
      }
      runtime: { name: 'python', version: pythonVersion }
    }
    siteConfig: {
      minTlsVersion: '1.2'
      ftpsState: 'Disabled'
      http20Enabled: true
      ipSecurityRestrictionsDefaultAction: 'Deny'
      ipSecurityRestrictions: clientRules
      scmIpSecurityRestrictionsUseMain: false
      scmIpSecurityRestrictionsDefaultAction: publicDeployment ? 'Allow' : 'Deny'
      scmMinTlsVersion: '1.2'
    }
    configs: [
      {
        name: 'appsettings'
        properties: settings
        // What is not in settings.bicep has no place in the app.
        retainCurrentAppSettings: false
      }
      {
        name: 'authsettingsV2'
        properties: {
          platform: { enabled: true }
          globalValidation: {
            requireAuthentication: true
            // For people with a browser: the portal. Clients of the API always send a token, and a wrong one is answered
            // with 401 as before.
            unauthenticatedClientAction: 'RedirectToLoginPage'
            redirectToProvider: 'azureactivedirectory'
            // Anonymous in the app, too: the probe, and what a client reads to learn where to get a token.
            excludedPaths: ['/health', '/metadata/endpoints']
          }
          httpSettings: { requireHttps: true }
          identityProviders: {
            azureActiveDirectory: {
              enabled: true
              registration: {
                clientId: clientId
                openIdIssuer: '${environment().authentication.loginEndpoint}${tenant().tenantId}/v2.0'
              }
              validation: { allowedAudiences: [clientId, audience] }
            }
          }
          // Passes the ID token of a sign-in on to the app, which checks it itself.
          login: { tokenStore: { enabled: true } }
        }
      }
    ]
    enableTelemetry: false
  }
}

@description('Resource id of the app.')
output id string = app.outputs.resourceId

@description('Name of the app.')
output name string = app.outputs.name

@description('Address of the API.')
output url string = 'https://${app.outputs.defaultHostname}'
