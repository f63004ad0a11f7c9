"""What the app does in Azure itself, with its own identity: private endpoints to target servers."""
