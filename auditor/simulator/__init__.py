"""A pretend Azure on loopback HTTP: estates in YAML become the answers of Azure Resource Manager."""

from auditor.simulator.estate import Estate
from auditor.simulator.faults import Faults
from auditor.simulator.quota import Quota
from auditor.simulator.server import Request, Simulator

__all__ = ["Estate", "Faults", "Quota", "Request", "Simulator"]
