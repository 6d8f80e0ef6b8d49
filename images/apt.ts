/**
 * Where the image's packages come from: the Debian mirrors that apt on this machine is
 * configured with, at the release of the image. So a build behind a proxy or with a mirror of
 * its own needs no other setting, and no host is named in this tree.
 */
import { commandLines } from './command.js';

const KEYRING = '/usr/share/keyrings/debian-archive-keyring.gpg';
export const SUITE = 'trixie';
const COMPONENTS = 'main non-free-firmware';

interface Archive {
  readonly uri: string;
  readonly label: string;
}

/** What `apt-get indextargets` says: one line for each archive, "URI|origin|label". */
export function archives(lines: readonly string[]): Archive[] {
  const found = new Map<string, Archive>();
  for (const line of lines) {
    const [uri = '', origin, label = ''] = line.split('|');
    if (origin === 'Debian') found.set(`${label} ${uri}`, { uri: uri.replace(/\/$/, ''), label });
  }
  return [...found.values()];
}

/** Lines of a sources.list for the image. Throws an Error when apt knows no Debian mirror. */
export function sources(
  lines = commandLines('apt-get', [
    'indextargets',
    '--format',
    '$(REPO_URI)|$(ORIGIN)|$(LABEL)',
    'Created-By: Packages',
  ]),
): string[] {
  const known = archives(lines);
  const line = (uri: string, suite: string): string =>
    `deb [signed-by=${KEYRING}] ${uri} ${suite} ${COMPONENTS}`;
  const debian = known.find(({ label }) => label === 'Debian');
  if (debian === undefined) {
    throw new Error(
      'apt on this machine has no Debian mirror: add one to /etc/apt/sources.list.d and run apt-get update.',
    );
  }
  const security = known.find(({ label }) => label === 'Debian-Security');
  return [
    line(debian.uri, SUITE),
    line(debian.uri, `${SUITE}-updates`),
    ...(security === undefined ? [] : [line(security.uri, `${SUITE}-security`)]),
  ];
}
