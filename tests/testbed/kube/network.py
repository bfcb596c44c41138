# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The cluster's network: pods on a bridge, services, names, and the way to servers of the host.

All of it lies in a network namespace of its own, so its addresses need not be unique. Servers that
tests start listen on 127.0.0.1; an address of the host range stands for each in the cluster.
"""

from __future__ import annotations

import itertools
import json
import typing as t
from pathlib import Path

from tests.testbed.components import ensure
from tests.testbed.ports import HOST
from tests.testbed.process import run

BRIDGE = "granary0"
BRIDGE_ADDRESS = "10.88.78.1"
"""Where pods find the node, its API server and the cluster's DNS."""

POD_RANGE = "10.88.78.0/24"
SERVICE_RANGE = "10.78.0.0/24"
API_SERVICE_ADDRESS = "10.78.0.1"
DOMAIN = "cluster.local"
_HOST_ADDRESSES = "10.88.79.{}"
_TABLE = "granary-hosts"

_FIREWALL = f"""
table ip {_TABLE} {{
  map servers {{ type ipv4_addr . inet_service : ipv4_addr . inet_service; }}
  chain from_pods {{
    type nat hook prerouting priority -101;
    dnat ip to ip daddr . tcp dport map @servers
  }}
  chain from_host {{
    type nat hook output priority -101;
    dnat ip to ip daddr . tcp dport map @servers
  }}
  chain arrived {{
    type nat hook input priority 100;
    iifname "{BRIDGE}" ip daddr {HOST} snat to {HOST}
  }}
}}
"""

_NAMES = """
{domain}:53 in-addr.arpa:53 {{
  bind {address}
  errors
  ready {host}:{ready_port}
  kubernetes {domain} in-addr.arpa {{
    kubeconfig {kubeconfig} {context}
    pods disabled
    ttl 5
  }}
}}
.:53 {{
  bind {address}
  errors
  template ANY ANY . {{
    rcode NXDOMAIN
  }}
}}
"""


def make_bridge() -> None:
    """Bring up the loopback device and the bridge, and the empty list of the host's servers."""
    _ip("link", "set", "lo", "up")
    _ip("link", "add", BRIDGE, "type", "bridge")
    _ip("address", "add", f"{BRIDGE_ADDRESS}/24", "dev", BRIDGE)
    _ip("link", "set", BRIDGE, "up")
    _ip("route", "add", "default", "dev", BRIDGE)  # the kubelet's address is that of this route
    settings = Path("/proc/sys/net/ipv4")
    (settings / "ip_forward").write_text("1", encoding="ascii")
    (settings / "conf" / BRIDGE / "route_localnet").write_text("1", encoding="ascii")
    run([network_tools() / "nft", _FIREWALL], doing="making the firewall table")


class HostServers:
    """Addresses in the cluster for servers on 127.0.0.1."""

    def __init__(self) -> None:
        """None yet."""
        self._numbers = itertools.count(1)

    def open(self, port: int, service_port: int) -> str:
        """A new address at whose `service_port` pods, and we, reach 127.0.0.1:`port`.

        The server sees 127.0.0.1 as its client.
        """
        address = _HOST_ADDRESSES.format(next(self._numbers))
        self._change("add", f"{address} . {service_port} : {HOST} . {port}")
        return address

    def close(self, address: str, service_port: int) -> None:
        """Take an address away; open connections go on."""
        self._change("delete", f"{address} . {service_port}")

    @staticmethod
    def _change(verb: str, element: str) -> None:
        command = f"{verb} element ip {_TABLE} servers {{ {element} }}"
        run([network_tools() / "nft", command], doing=f"nft {command}")


def network_tools() -> Path:
    """The folder of ip and nft."""
    return ensure("network-tools") / "bin"


def cni_configuration() -> str:
    """How the container runtime attaches pods to the bridge."""
    bridge = {
        "type": "bridge",
        "bridge": BRIDGE,
        "isGateway": True,
        "ipMasq": False,
        "hairpinMode": True,
        "ipam": {
            "type": "host-local",
            "ranges": [[{"subnet": POD_RANGE, "gateway": BRIDGE_ADDRESS}]],
            "routes": [{"dst": "0.0.0.0/0"}],
        },
    }
    return json.dumps({"cniVersion": "1.0.0", "name": "granary", "plugins": [bridge]})


def proxy_configuration(kubeconfig: Path, *, node: str, ports: t.Sequence[int]) -> str:
    """kube-proxy's; `ports` are those of its health and its metrics.

    Zeroes for conntrack: the defaults set the whole machine's limits.
    """
    health_port, metrics_port = ports
    return json.dumps(
        {
            "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
            "kind": "KubeProxyConfiguration",
            "mode": "nftables",
            "hostnameOverride": node,
            "bindAddressHardFail": True,
            "clientConnection": {"kubeconfig": str(kubeconfig)},
            "clusterCIDR": POD_RANGE,
            "detectLocalMode": "ClusterCIDR",
            "nodePortAddresses": [f"{BRIDGE_ADDRESS}/32"],
            "nftables": {"masqueradeAll": True, "minSyncPeriod": "100ms"},
            "oomScoreAdj": 0,
            "conntrack": {
                "maxPerCore": 0,
                "min": 0,
                "tcpEstablishedTimeout": "0s",
                "tcpCloseWaitTimeout": "0s",
                "udpTimeout": "0s",
                "udpStreamTimeout": "0s",
            },
            "healthzBindAddress": f"{HOST}:{health_port}",
            "metricsBindAddress": f"{HOST}:{metrics_port}",
        }
    )


def names_configuration(kubeconfig: Path, *, context: str, ready_port: int) -> str:
    """CoreDNS's: the cluster's names, and at once "there is no such name" for all others."""
    return _NAMES.format(
        domain=DOMAIN,
        address=BRIDGE_ADDRESS,
        host=HOST,
        ready_port=ready_port,
        kubeconfig=kubeconfig,
        context=context,
    )


def _ip(*arguments: str) -> None:
    run([network_tools() / "ip", *arguments], doing=f"ip {' '.join(arguments)}")
