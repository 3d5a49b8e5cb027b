"""The real Azure behind collect's port: sign-in, clouds, Resource Graph, backup REST, pacing. Only reads."""

from auditor.azure.clouds import Cloud, cloud
from auditor.azure.reader import AzureReader

__all__ = ["AzureReader", "Cloud", "cloud"]
