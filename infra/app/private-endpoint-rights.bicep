// What the app may do when it makes private endpoints itself, for agents' private endpoints through the API: a role of its
// own, because the built-in one for networks may change everything in them.

@description('Object id of the app\'s identity.')
param appPrincipalId string

resource role 'Microsoft.Authorization/roleDefinitions@2022-04-01' = {
  name: guid(resourceGroup().id, 'elastic-jobs-private-endpoints')
  properties: {
    roleName: 'Elastic Jobs private endpoints (${resourceGroup().name})'
    description: 'Make, see and delete private endpoints in this resource group.'
    type: 'CustomRole'
    assignableScopes: [resourceGroup().id]
    permissions: [
      {
        actions: [
          'Microsoft.Network/privateEndpoints/read'
          'Microsoft.Network/privateEndpoints/write'
          'Microsoft.Network/privateEndpoints/delete'
          'Microsoft.Network/privateEndpoints/privateDnsZoneGroups/read'
          'Microsoft.Network/privateEndpoints/privateDnsZoneGroups/write'
          'Microsoft.Network/privateDnsZones/join/action'
          'Microsoft.Network/virtualNetworks/subnets/read'
          'Microsoft.Network/virtualNetworks/subnets/join/action'
        ]
      }
    ]
  }
}

resource assignment 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(resourceGroup().id, appPrincipalId, 'elastic-jobs-private-endpoints')
  properties: {
    roleDefinitionId: role.id
    principalId: appPrincipalId
    principalType: 'ServicePrincipal'
  }
}
