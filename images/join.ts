/**
 * Joins the modules of Weir and of npm packages into few files. Loading hundreds of small ones is most
 * of the time from a process's start to its first act: a box is ready sooner, and a worker, a speaker
 * or a command starts sooner.
 *
 * Names and lines stay as they are compiled, so that a stack trace in a log can be read.
 */
import { join } from 'node:path';
import { type BuildOptions, buildSync } from 'esbuild';
import { projectRoot } from '../appliance/paths.js';

/** What is started by the path of its file, and so needs one of its own. */
const PROGRAMS = [
  'appliance/cli/weir.js',
  'appliance/main.js',
  'appliance/system/health/main.js',
  'appliance/system/install/main.js',
  'appliance/system/recovery/main.js',
  'appliance/ha/vrrp/speaker/main.js',
  'appliance/ha/vrrp/speaker/guard-main.js',
  'appliance/l7/worker/main.js',
  'appliance/tls/import-thread.js',
];
/** They read files of their own at run time: addons, descriptions of terminals. */
const APART = ['better-sqlite3', 'koffi', 'blessed'];
/** CommonJS packages ask for modules of Node by a function that ES modules lack. */
const BANNER =
  "import { createRequire as joinedRequire } from 'node:module'; const require = joinedRequire(import.meta.url);";

const USUAL = {
  ...{
    absWorkingDir: projectRoot,
    bundle: true,
    format: 'esm',
    platform: 'node',
    target: 'node20',
  },
  ...{ external: APART, banner: { js: BANNER }, legalComments: 'none', logLevel: 'error' },
} as const satisfies BuildOptions;

/** Writes a compiled program and all that it imports into one file. Throws as joinModules(). */
export function joinProgram(program: string, out: string): void {
  buildSync({ ...USUAL, entryPoints: [program], outfile: out });
}

/**
 * Writes programs to their paths below `folder`, and beside them what they share, named by what is in
 * it. Returns the npm packages that are in those files now. Throws when anything cannot be resolved.
 */
export function joinModules(folder: string): ReadonlySet<string> {
  const source = join(projectRoot, 'build');
  const { metafile } = buildSync({
    ...USUAL,
    entryPoints: PROGRAMS.map((path) => join(source, path)),
    ...{ outdir: folder, outbase: source, splitting: true, metafile: true },
    chunkNames: 'shared/[name]-[hash]',
  });
  return packagesOf(Object.keys(metafile.inputs));
}

/** Names of the packages that paths below `node_modules` belong to. */
export function packagesOf(paths: readonly string[]): ReadonlySet<string> {
  const names = paths.flatMap((path) => {
    const [, name] = /.*node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(path) ?? [];
    return name === undefined ? [] : [name];
  });
  return new Set(names);
}
