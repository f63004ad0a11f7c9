// The logical server of the job database: Entra logins only, no public access. With a second region: a second server and
// a failover group, whose listener name stays the same after a failover.

@description('Name of the server.')
param serverName string

@description('Name of the server in the second region, or empty.')
param secondServerName string

@description('Name of the failover group: the first label of its listener.')
param failoverGroupName string

@description('Region of the server.')
param location string

@description('Second region, or empty.')
param secondaryLocation string

@description('Tags of the servers.')
param tags object

@description('Name of the job database.')
param databaseName string

@description('Size of the job database.')
param databaseSku object

@description('Display name of the Entra administrator.')
param administratorName string

@description('Object id of the Entra administrator.')
param administratorObjectId string

@description('What the administrator is: User, Group or Application.')
param administratorType string

var twoRegions = !empty(secondServerName)
var administrators = {
  azureADOnlyAuthentication: true
  login: administratorName
  principalType: administratorType
  sid: administratorObjectId
  tenantId: tenant().tenantId
}

module second 'br/public:avm/res/sql/server:0.22.0' = if (twoRegions) {
  name: 'sql-second'
  params: {
    name: secondServerName
    location: secondaryLocation
    tags: tags
    administrators: administrators
    minimalTlsVersion: '1.2'
    publicNetworkAccess: 'Disabled'
    enableTelemetry: false
  }
}

module first 'br/public:avm/res/sql/server:0.22.0' = {
  name: 'sql'
  params: {
    name: serverName
    location: location
    tags: tags
    administrators: administrators
    minimalTlsVersion: '1.2'
    publicNetworkAccess: 'Disabled'
    databases: [
      {
        name: databaseName
        sku: databaseSku
        availabilityZone: -1
        zoneRedundant: false
        backupShortTermRetentionPolicy: { retentionDays: 14 }
      }
    ]
    failoverGroups: twoRegions ? [
      {
        name: failoverGroupName
        databases: [databaseName]
        partnerServerResourceIds: [second!.outputs.resourceId]
        secondaryType: 'Geo'
        readWriteEndpoint: { failoverPolicy: 'Automatic', failoverWithDataLossGracePeriodMinutes: 60 }
      }
    ] : []
    enableTelemetry: false
  }
}

@description('Resource id of the server.')
output id string = first.outputs.resourceId
