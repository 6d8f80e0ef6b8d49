/**
 * What files of the host say, by `unit`. Pure. Sources: resolv.conf(5), chrony.conf(5), hostname(5),
 * localtime(5), keyboard(5), vconsole.conf(5).
 */
import type { Unit } from '../../config/unit.js';
import { authorizedKeys, managementRules } from './management.js';

export type FileSubject =
  'name' | 'dns' | 'ntp' | 'time-zone' | 'keyboard' | 'management' | 'ssh' | 'links';

export interface HostFile {
  /** Below the root of the host. */
  readonly path: string;
  readonly subject: FileSubject;
  /** Text, or where a symbolic link leads; null: as the host has it. */
  readonly content: string | { readonly link: string } | null;
}

const HEAD = '# Written by Weir from its configuration; what is changed here is lost.\n';

/** Below the root of the host. */
export const MANAGEMENT_RULES = 'etc/nftables.d/weir-management.nft';

/** A host's name has letters, digits, hyphens and dots, at most 64 of them (hostname(7)). */
export function hostNameOf(unit: string): string {
  return unit
    .replaceAll('_', '-')
    .slice(0, 64)
    .replace(/^[-.]+|[-.]+$/g, '');
}

export function hostFiles(unit: Unit): readonly HostFile[] {
  const { network, keyboard, 'time-zone': zone } = unit;
  const { dns, ntp, interfaces = {} } = network ?? {};
  const links = Object.keys(interfaces);
  const text = (...lines: readonly string[]): string =>
    `${HEAD}${lines.map((line) => `${line}\n`).join('')}`;
  return [
    { path: 'etc/hostname', subject: 'name', content: `${hostNameOf(unit.name)}\n` },
    {
      path: 'etc/resolv.conf',
      subject: 'dns',
      content:
        dns === undefined
          ? null
          : text(
              ...(dns.search === undefined ? [] : [`search ${dns.search.join(' ')}`]),
              ...dns.servers.map((server) => `nameserver ${server}`),
            ),
    },
    {
      path: 'etc/chrony/sources.d/weir.sources',
      subject: 'ntp',
      content:
        ntp === undefined ? null : text(...ntp.servers.map((server) => `server ${server} iburst`)),
    },
    {
      path: 'etc/localtime',
      subject: 'time-zone',
      content: zone === undefined ? null : { link: zoneFile(zone) },
    },
    {
      path: 'etc/timezone',
      subject: 'time-zone',
      content: zone === undefined ? null : `${zone}\n`,
    },
    {
      path: 'etc/default/keyboard',
      subject: 'keyboard',
      // A keymap of the console, de-latin1, is a variant of a layout of X, de.
      content:
        keyboard === undefined ? null : text(`XKBLAYOUT=${keyboard.split('-')[0] ?? keyboard}`),
    },
    {
      path: 'etc/vconsole.conf',
      subject: 'keyboard',
      content: keyboard === undefined ? null : text(`KEYMAP=${keyboard}`),
    },
    {
      path: MANAGEMENT_RULES,
      subject: 'management',
      content: network?.management === undefined ? null : managementRules(unit),
    },
    {
      // Whoever else sets interfaces leaves those alone that Weir sets (systemd.network(5)).
      path: 'run/systemd/network/05-weir.network',
      subject: 'links',
      content:
        links.length === 0
          ? null
          : text('[Match]', `Name=${links.join(' ')}`, '[Link]', 'Unmanaged=yes'),
    },
    { path: 'etc/ssh/weir-keys', subject: 'ssh', content: authorizedKeys(unit) },
  ];
}

export function zoneFile(zone: string): string {
  return `/usr/share/zoneinfo/${zone}`;
}
