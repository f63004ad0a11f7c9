// Two identities: the app's own (queues, vault, job database, telemetry), and the one that jobs use on target servers.
// Apart, so that a script's rights on targets are never the app's rights on its own state.

@description('Name of the identity that the app uses for itself.')
param appIdentityName string

@description('Name of the identity that jobs use on target servers.')
param agentIdentityName string

@description('Region of the identities.')
param location string

@description('Tags of the identities.')
param tags object

module app 'br/public:avm/res/managed-identity/user-assigned-identity:0.6.0' = {
  name: 'identity-app'
  params: {
    name: appIdentityName
    location: location
    tags: tags
    enableTelemetry: false
  }
}

module agent 'br/public:avm/res/managed-identity/user-assigned-identity:0.6.0' = {
  name: 'identity-agent'
  params: {
    name: agentIdentityName
    location: location
    tags: tags
    enableTelemetry: false
  }
}

@description('Resource id of the app\'s identity.')
output appId string = app.outputs.resourceId

@description('Name of the app\'s identity.')
output appName string = app.outputs.name

@description('Client id of the app\'s identity.')
output appClientId string = app.outputs.clientId

@description('Object id of the app\'s identity, for role assignments.')
output appPrincipalId string = app.outputs.principalId

@description('Resource id of the agent\'s identity.')
output agentId string = agent.outputs.resourceId

@description('Name of the agent\'s identity.')
output agentName string = agent.outputs.name

@description('Client id of the agent\'s identity.')
output agentClientId string = agent.outputs.clientId
