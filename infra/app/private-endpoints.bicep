// Private endpoints of one kind in a region, each registered in its DNS zone.

@description('Resource ids of what is to be reached.')
param targetIds array

@description('Sub-resource of the targets: sqlServer, blob, queue, vault or sites.')
param groupId string

@description('Whether the owner of the target has to approve the endpoint.')
param requested bool = false

@description('Subnet of the endpoints.')
param subnetId string

@description('Private DNS zone of this kind of target.')
param zoneId string

@description('Region of the endpoints.')
param location string

@description('Tags of the endpoints.')
param tags object

var names = [for id in targetIds: 'pe-${last(split(id, '/'))}-${take(uniqueString(id, groupId, resourceGroup().id), 6)}']
var connections = [for (id, i) in targetIds: {
  name: names[i]
  properties: {
    privateLinkServiceId: id
    groupIds: [groupId]
    requestMessage: 'Elastic Jobs runs scripts on this server.'
  }
}]

module endpoints 'br/public:avm/res/network/private-endpoint:0.12.1' = [for (id, i) in targetIds: {
  name: take(names[i], 60)
  params: {
    name: names[i]
    location: location
    tags: tags
    subnetResourceId: subnetId
    privateLinkServiceConnections: requested ? [] : [connections[i]]
    manualPrivateLinkServiceConnections: requested ? [connections[i]] : []
    privateDnsZoneGroup: { privateDnsZoneGroupConfigs: [{ privateDnsZoneResourceId: zoneId }] }
    enableTelemetry: false
  }
}]
