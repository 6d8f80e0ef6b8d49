/**
 * The management side: its packet filter, closed but for what the configuration switches on, and who may
 * come in by SSH. Pure. Sources: nft(8), sshd(8) "AUTHORIZED_KEYS FILE FORMAT".
 */
import { parseEndpoint } from '../../config/addresses.js';
import type { Unit } from '../../config/unit.js';
import { HEARTBEAT_PORT, PAIR_PORT } from '../../ha/ports.js';

const SSH_PORT = 22;
const TABLE = 'inet weir-management';

/** Ports that are open there; those of a pair always, since a unit is paired at any time. */
export function openPorts({ metrics, ssh }: Unit): { tcp: number[]; udp: number[] } {
  const listening = (metrics?.listen ?? []).map((text) => {
    const endpoint = parseEndpoint(text);
    if (!endpoint.ok) throw new Error(`a checked document has the address ${text}`);
    return endpoint.value.port;
  });
  const tcp = new Set([PAIR_PORT, ...listening, ...(ssh === undefined ? [] : [SSH_PORT])]);
  return { tcp: [...tcp].sort((a, b) => a - b), udp: [HEARTBEAT_PORT] };
}

/** For nft: nothing is left. */
export const NO_RULES = `table ${TABLE}; delete table ${TABLE}`;

/** For nft -f: takes the place of what was there; without an interface for management nothing is left. */
export function managementRules(unit: Unit): string {
  const name = unit.network?.management;
  const anew = `${NO_RULES}\n`;
  if (name === undefined) return anew;
  const { tcp, udp } = openPorts(unit);
  return `${anew}table ${TABLE} {
  chain input {
    type filter hook input priority filter; policy accept;
    iifname "${name}" jump management
    # Nobody logs in by the side of the services.
    iifname != "lo" tcp dport ${SSH_PORT} drop
  }
  chain management {
    # Without a memory of connections: it would cost each packet of the services something, too.
    tcp flags & (syn | ack) == syn tcp dport { ${tcp.join(', ')} } accept
    tcp flags & (syn | ack) == syn drop
    meta l4proto tcp accept
    # Answers of resolvers and time servers.
    udp sport { 53, 123 } udp dport 1024-65535 accept
    icmp type { echo-request, destination-unreachable, time-exceeded, parameter-problem } limit rate 100/second accept
    icmpv6 type { echo-request, destination-unreachable, packet-too-big, time-exceeded, parameter-problem } limit rate 100/second accept
    icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert, nd-router-advert } accept
    # DHCP's answers to a client that has no address yet.
    udp sport 67 udp dport 68 accept
    udp dport 546 ip6 saddr fe80::/10 accept
    # Heartbeats of a pair (RFC 9568 §5.1.1.4).
    meta l4proto 112 accept
    udp dport { ${udp.join(', ')} } accept
    drop
  }
  # The management network leads nowhere, and nothing leads to it.
  chain forward {
    type filter hook forward priority filter; policy accept;
    iifname "${name}" drop
    oifname "${name}" drop
  }
}
`;
}

/** Null: nobody comes in. */
export function authorizedKeys({ ssh }: Unit): string | null {
  return ssh === undefined ? null : ssh.keys.map((key) => `${key}\n`).join('');
}
