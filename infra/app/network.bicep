// One virtual network per region: a subnet for the app's outgoing calls, one for private endpoints, and the private DNS
// zones that lead names to these endpoints. Each region has its own zones, so that each uses its own endpoints.

@description('Name of the virtual network.')
param name string

@description('Region of the network.')
param location string

@description('Tags of the network and the zones.')
param tags object

@description('Address range of the network, at least a /24.')
param addressPrefix string

var zones = {
  sql: 'privatelink${environment().suffixes.sqlServerHostname}'
  blob: 'privatelink.blob.${environment().suffixes.storage}'
  queue: 'privatelink.queue.${environment().suffixes.storage}'
  vault: 'privatelink.vaultcore.azure.net'
  app: 'privatelink.azurewebsites.net'
}

module network 'br/public:avm/res/network/virtual-network:0.10.1' = {
  name: 'virtual-network'
  params: {
    name: name
    location: location
    tags: tags
    addressPrefixes: [addressPrefix]
    subnets: [
      {
        name: 'app'
        addressPrefix: cidrSubnet(addressPrefix, 26, 0)
        // What Flex Consumption wants of the subnet of its instances.
        delegation: 'Microsoft.App/environments'
      }
      {
        // For the container way only: Container Apps cannot share the subnet of Flex Consumption.
        name: 'containers'
        addressPrefix: cidrSubnet(addressPrefix, 26, 1)
        delegation: 'Microsoft.App/environments'
      }
      {
        name: 'endpoints'
        addressPrefix: cidrSubnet(addressPrefix, 25, 1)
        privateEndpointNetworkPolicies: 'Enabled'
      }
    ]
    enableTelemetry: false
  }
}

module dns 'br/public:avm/res/network/private-dns-zone:0.8.1' = [for zone in items(zones): {
  name: 'dns-${zone.key}'
  params: {
    name: zone.value
    tags: tags
    virtualNetworkLinks: [{ virtualNetworkResourceId: network.outputs.resourceId }]
    enableTelemetry: false
  }
}]

@description('Resource id of the subnet of the app\'s outgoing calls.')
output appSubnetId string = '${network.outputs.resourceId}/subnets/app'

@description('Resource id of the subnet of private endpoints.')
output endpointSubnetId string = '${network.outputs.resourceId}/subnets/endpoints'

@description('Resource ids of the private DNS zones: sql, blob, queue, vault, app.')
output zoneIds object = toObject(items(zones), zone => zone.key, zone => resourceId('Microsoft.Network/privateDnsZones', zone.value))
