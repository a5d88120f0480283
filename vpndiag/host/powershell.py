"""One PowerShell script that asks Windows everything, and reading what it prints.

One script, because starting PowerShell takes a second. Each part stands alone: what fails is null.
It holds no double quotes, which a command line would have to escape.
User names and secrets are not asked for: of the RasClient events only the connection's name and
the error number (their third and fourth value), of a connection not its key.
"""

from __future__ import annotations

import json
from typing import Any

from vpndiag.host.facts import MAX_ROWS
from vpndiag.host.machine import Machine

SCRIPT = r"""
$ErrorActionPreference = 'Stop'
[Console]::OutputEncoding = [System.Text.Encoding]::UTF8
function Part($code) { try { ,@(& $code) } catch { $null } }
$services = 'HKLM:\SYSTEM\CurrentControlSet\Services'
$all = [ordered]@{
 addresses = Part { Get-NetIPAddress | ForEach-Object { @{ alias = $_.InterfaceAlias;
  address = $_.IPAddress; length = [int]$_.PrefixLength } } }
 interfaces = Part { Get-NetIPInterface -AddressFamily IPv4 | ForEach-Object { @{
  alias = $_.InterfaceAlias; mtu = [long]$_.NlMtu; metric = [int]$_.InterfaceMetric;
  state = [string]$_.ConnectionState } } }
 routes = Part { Get-NetRoute | ForEach-Object { @{ destination = $_.DestinationPrefix;
  via = $_.NextHop; alias = $_.InterfaceAlias;
  metric = [int]$_.RouteMetric + [int]$_.InterfaceMetric } } }
 dns = Part { Get-DnsClientServerAddress | ForEach-Object { @{ alias = $_.InterfaceAlias;
  servers = @($_.ServerAddresses) } } }
 services = Part { Get-Service -Name IKEEXT, PolicyAgent, RasMan -ErrorAction SilentlyContinue |
  ForEach-Object { @{ name = $_.Name; state = [string]$_.Status; start = [string]$_.StartType } } }
 policyagent = Part { Get-ItemProperty ($services + '\PolicyAgent') | ForEach-Object { @{
  AssumeUDPEncapsulationContextOnSendRule = $_.AssumeUDPEncapsulationContextOnSendRule } } }
 rasman = Part { Get-ItemProperty ($services + '\RasMan\Parameters') | ForEach-Object { @{
  ProhibitIpSec = $_.ProhibitIpSec } } }
 connections = Part { @(Get-VpnConnection) +
  @(Get-VpnConnection -AllUserConnection -ErrorAction SilentlyContinue) |
  ForEach-Object { @{ name = $_.Name; server = $_.ServerAddress; type = [string]$_.TunnelType;
  login = @($_.AuthenticationMethod | ForEach-Object { [string]$_ });
  ipsec = [string]$_.L2tpIPsecAuth; split = [bool]$_.SplitTunneling;
  status = [string]$_.ConnectionStatus } } }
 udp = Part { Get-NetUDPEndpoint -LocalPort 500, 4500, 1701 -ErrorAction SilentlyContinue |
  ForEach-Object { @{ port = [int]$_.LocalPort; address = $_.LocalAddress;
  program = (Get-Process -Id $_.OwningProcess -ErrorAction SilentlyContinue).ProcessName } } }
 events = Part { Get-WinEvent -MaxEvents 8 -FilterHashtable @{ LogName = 'Application';
  ProviderName = 'RasClient'; Id = 20225, 20226, 20227 } | ForEach-Object { @{ id = $_.Id;
  at = $_.TimeCreated.ToUniversalTime().ToString('o'); name = [string]$_.Properties[2].Value;
  error = [string]$_.Properties[3].Value } } }
}
ConvertTo-Json -Compress -Depth 5 $all
"""

Rows = list[dict[str, Any]]


def ask(machine: Machine, script: str, timeout: float = 25.0) -> dict[str, Rows | None]:
    """The parts of a script's answer; a part that failed, or all of them, are missing or None."""
    printed = machine.run(
        "powershell", "-NoProfile", "-NonInteractive", "-Command", script, timeout=timeout
    )
    return parts(printed or "")


def parts(text: str) -> dict[str, Rows | None]:
    """The JSON that the script prints. An object where a list was meant counts as a list of one."""
    try:
        document = json.loads(text.lstrip("\ufeff") or "{}")
    except (ValueError, RecursionError):
        return {}
    if not isinstance(document, dict):
        return {}
    found: dict[str, Rows | None] = {}
    for name, wrapped in document.items():
        value = _plain(wrapped)
        rows = [value] if isinstance(value, dict) else value
        if isinstance(rows, dict | list):
            found[name] = [row for row in rows if isinstance(row, dict)][:MAX_ROWS]
        else:
            found[name] = None
    return found


def _plain(value: Any) -> Any:
    """PowerShell 5 writes some arrays as ``{"value": [...], "Count": 2}``."""
    if isinstance(value, dict):
        if value.keys() == {"value", "Count"} and isinstance(value["value"], list):
            return _plain(value["value"])
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list) else value


def text(row: dict[str, Any], key: str, limit: int = 255) -> str:
    value = row.get(key)
    return value[:limit] if isinstance(value, str) else ""


def number(row: dict[str, Any], key: str) -> int | None:
    value = row.get(key)
    return value if isinstance(value, int) and not isinstance(value, bool) else None
