/** Weir itself as it is installed in a slot: its programs, and what they need of npm. */
import { cpSync, mkdirSync, readFileSync, statSync } from 'node:fs';
import { join, relative } from 'node:path';
import { z } from 'zod';
import { projectRoot } from '../appliance/paths.js';
import { command, commandLines } from './command.js';
import { compileAhead, joinModules } from './join.js';

/** Where Weir is in a slot. */
export const PRODUCT = 'usr/lib/weir';

const KEPT = ['LICENSE', 'firmware-profiles', 'appliance/config'];
/** For the kernel. */
const OBJECTS = ['weir.bpf.o', 'decap.bpf.o'];
/** Of packages whose code is in Weir's own files: who wrote it, and on which terms. */
const TERMS = /^(|package\.json|(licen[cs]e|copying|notice|authors)[^/]*)$/i;
/** Of npm packages: sources that are compiled already, what people read, what compilers read. */
const UNUSED = /\.(md|markdown|map|[cm]?ts|flow|cc?|cpp|h|hpp|gypi?|mk|o|a)$/;
/** The same as folders of a package; deeper ones of these names may be code. */
const UNUSED_FOLDERS = /^(tests?|docs?|examples?|benchmarks?|\.github)$/;
/** What is left of compiling the one package that is compiled. */
const COMPILING = /^(deps|src|build\/(deps|Makefile|config\.gypi|Release\/(obj|\.deps|test_ext)))/;

/** Whether a file of a package, by its path in it, is used on the box. */
export function isUsed(name: string, path: string): boolean {
  if (path.startsWith('node_modules')) return false;
  return !(
    UNUSED.test(path) ||
    UNUSED_FOLDERS.test(path) ||
    (name === 'better-sqlite3' && COMPILING.test(path))
  );
}

/** Whether a file of a package says whose it is, and on which terms. */
const isTerms = (_name: string, path: string): boolean => TERMS.test(path);

export interface NpmPackage {
  readonly name: string;
  readonly version: string;
  readonly licence: string;
  /** Folder below the project's root. */
  readonly folder: string;
}

const packageSchema = z.object({
  name: z.string(),
  version: z.string(),
  license: z
    .union([z.string(), z.object({ type: z.string() }).transform(({ type }) => type)])
    .optional(),
});

/** Everything that runs with Weir, by the lock file of npm and as it is installed here. */
export function productionPackages(): NpmPackage[] {
  const folders = commandLines('npm', [
    ...['ls', '--omit=dev', '--all', '--parseable', '--prefix', projectRoot],
  ]).filter((folder) => folder !== projectRoot);
  return folders
    .map((folder) => {
      const found = packageSchema.parse(
        JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')),
      );
      const { name, version, license: licence = 'see its folder' } = found;
      return { name, version, licence, folder: relative(projectRoot, folder) };
    })
    .sort((a, b) => (a.folder < b.folder ? -1 : 1));
}

/** Modules look at the CPUs when they are loaded. */
const NODE_OF_SLOT =
  'for name in proc sys; do mount --rbind "/$name" "$0/$name" || exit; done; exec chroot "$0" node "$@"';

/** Copies Weir into the tree of a slot. */
export function installProduct(root: string, packages: readonly NpmPackage[]): void {
  const target = join(root, PRODUCT);
  const copy = (path: string, wanted: (source: string) => boolean): void => {
    cpSync(join(projectRoot, path), join(target, path), { recursive: true, filter: wanted });
  };
  mkdirSync(target, { recursive: true });
  for (const path of KEPT) copy(path, (source) => !source.endsWith('.ts'));
  for (const name of OBJECTS) copy(join('build/native/bpf', name), () => true);
  const joined = joinModules(target);
  // A package below another one comes by itself, or not at all when it is for development.
  for (const { name, folder } of packages) {
    const kept = joined.has(name) ? isTerms : isUsed;
    copy(folder, (source) => kept(name, relative(join(projectRoot, folder), source)));
  }
  // The debugging information is as large as the code.
  const addon = join(target, 'node_modules/better-sqlite3/build/Release/better_sqlite3.node');
  if (!statSync(addon).isFile()) throw new Error('better-sqlite3 is not compiled: run npm ci.');
  command('strip', ['--strip-unneeded', addon]);
  compileAhead(`/${PRODUCT}`, (parameters) => {
    command('unshare', ['--mount', 'sh', '-c', NODE_OF_SLOT, root, ...parameters]);
  });
}
