/**
 * packages.lock: every Debian package of the image with its version, one "name=version" a line.
 * A build installs exactly these and nothing else, or fails.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { projectRoot } from '../appliance/paths.js';

export const LOCK_FILE = join(projectRoot, 'images/packages.lock');

export function parseLock(text: string): Map<string, string> {
  const versions = new Map<string, string>();
  for (const line of text.split('\n')) {
    if (line === '' || line.startsWith('#')) continue;
    const [name, version] = line.split('=');
    if (name === undefined || version === undefined || name === '' || version === '') {
      throw new Error(`packages.lock: "${line}" is not NAME=VERSION.`);
    }
    versions.set(name, version);
  }
  return versions;
}

export function readLock(): Map<string, string> {
  if (!existsSync(LOCK_FILE)) {
    throw new Error('images/packages.lock is missing: npm run image -- --renew-lock writes it.');
  }
  return parseLock(readFileSync(LOCK_FILE, 'utf8'));
}

export function formatLock(versions: ReadonlyMap<string, string>): string {
  const lines = [...versions].map(([name, version]) => `${name}=${version}`).sort();
  return `# Debian packages of the image. Written by: npm run image -- --renew-lock\n${lines.join('\n')}\n`;
}

export function writeLock(versions: ReadonlyMap<string, string>): void {
  writeFileSync(LOCK_FILE, formatLock(versions));
}

/** What differs, one sentence each. */
export function lockDifferences(
  wanted: ReadonlyMap<string, string>,
  installed: ReadonlyMap<string, string>,
): string[] {
  const lines: string[] = [];
  for (const [name, version] of wanted) {
    const have = installed.get(name);
    if (have === undefined) lines.push(`${name} ${version} is in packages.lock and not installed`);
    else if (have !== version) lines.push(`${name} is ${have} and not ${version}`);
  }
  for (const [name, version] of installed) {
    if (!wanted.has(name)) lines.push(`${name} ${version} is installed and not in packages.lock`);
  }
  return lines;
}
