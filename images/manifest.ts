/** What an image holds: every package with its version and licence. Inside the slot and beside it. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { installedPackages } from './root.js';
import type { NpmPackage } from './product.js';
import type { Release } from './release.js';

/** Names of licences in a machine-readable debian/copyright; none when it is prose. */
export function licences(copyright: string): string[] {
  if (!copyright.startsWith('Format:')) return [];
  const names = copyright.matchAll(/^License:[ \t]*(\S.*)$/gm);
  return [...new Set([...names].map(([, name = '']) => name.trim()))].sort();
}

function debianLicence(root: string, name: string): string {
  const file = join(root, 'usr/share/doc', name, 'copyright');
  const names = existsSync(file) ? licences(readFileSync(file, 'utf8')) : [];
  return names.length > 0 ? names.join(', ') : `see /usr/share/doc/${name}/copyright`;
}

export function manifest(root: string, release: Release, npm: readonly NpmPackage[]): string {
  const debian = [...installedPackages(root)]
    .map(([name, version]) => ({ name, version, licence: debianLicence(root, name) }))
    .sort((a, b) => (a.name < b.name ? -1 : 1));
  const packages = npm.map(({ name, version, licence }) => ({ name, version, licence }));
  return `${JSON.stringify({ ...release, debian, npm: packages }, null, 1)}\n`;
}
