/**
 * Joins the modules of Weir and of npm packages into few files of CommonJS, and has them compiled ahead.
 * Loading hundreds of small ones is most of the time from a process's start to its first act, and reading
 * source most of the rest: a box is ready sooner, and a worker or a command starts sooner. ES modules
 * are not compiled ahead by this Node, so there are none in an image.
 *
 *     build/PATH.js          what is started by its path: two lines
 *     build/code/PATH.js     its modules, and in code/shared/ what several programs share
 *     build/code/….js.code   the same as bytecode of V8 (start.ts)
 *
 * Names and lines stay as they are compiled, so that a stack trace in a log can be read.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { type BuildOptions, buildSync, type TransformOptions, transformSync } from 'esbuild';
import { NODE_OPTIONS } from '../appliance/l7/supervisor/worker-process.js';
import { projectRoot } from '../appliance/paths.js';

/** What is started by the path of its file, and shares modules with others. */
const PROGRAMS = [
  'appliance/cli/weir.js',
  'appliance/system/health/main.js',
  'appliance/system/install/main.js',
  'appliance/system/recovery/main.js',
  'appliance/tls/import-thread.js',
];
/** What those load in the end: most of what is to be compiled ahead. */
const PARTS = ['appliance/cli/program.js', 'appliance/main.js', 'tui/main.js'];
/** Each by itself, since it is to be fast while it runs: nothing of it is in another file. */
const ALONE = ['appliance/ha/vrrp/speaker/main.js', 'appliance/ha/vrrp/speaker/guard-main.js'];
/** The same, and its modules are compiled ahead. */
const WORKER = { program: 'appliance/l7/worker/main.js', part: 'appliance/l7/worker/worker.js' };
/** They read files of their own at run time: addons, descriptions of terminals. */
const APART = ['better-sqlite3', 'koffi', 'blessed'];

const URL_OF_FILE = 'joinedUrl';
const AS_COMMON_JS = {
  ...{ format: 'cjs', platform: 'node', target: 'node20' },
  supported: { 'dynamic-import': false },
  define: { 'import.meta.url': URL_OF_FILE },
  banner: `const ${URL_OF_FILE} = require('node:url').pathToFileURL(__filename).href;`,
} as const satisfies TransformOptions;
const USUAL = {
  ...{ absWorkingDir: projectRoot, bundle: true, platform: 'node', target: 'node20' },
  ...{ external: APART, legalComments: 'none', logLevel: 'error', metafile: true, write: false },
} as const satisfies BuildOptions;

/** Writes a compiled program and all that it imports into one file. Throws as joinModules(). */
export function joinProgram(program: string, out: string): void {
  // CommonJS packages ask for modules of Node by a function that ES modules lack.
  const banner =
    "import { createRequire as joinedRequire } from 'node:module'; const require = joinedRequire(import.meta.url);";
  buildSync({
    ...USUAL,
    ...{ format: 'esm', entryPoints: [program], outfile: out, write: true, banner: { js: banner } },
  });
}

/**
 * Writes programs to their paths below `root`/build, and package.json, which says what they are. Returns
 * the npm packages that are in those files now. Throws when anything cannot be resolved.
 */
export function joinModules(root: string): ReadonlySet<string> {
  const source = join(projectRoot, 'build');
  const code = join(root, 'build/code');
  const place = { outdir: code, outbase: source };
  const from = (paths: readonly string[]): string[] => paths.map((path) => join(source, path));
  const { banner, ...commonJs } = AS_COMMON_JS;
  const alone = (paths: readonly string[], external: readonly string[] = []): Joined =>
    buildSync({
      ...{ ...USUAL, ...commonJs, ...place, entryPoints: from(paths) },
      ...{ banner: { js: banner }, external: [...APART, ...external] },
    });
  const shared = buildSync({
    ...{ ...USUAL, ...place, format: 'esm', entryPoints: from([...PROGRAMS, ...PARTS]) },
    ...{ splitting: true, chunkNames: 'shared/[name]-[hash]' },
  });
  const parts = [
    alone(ALONE),
    alone([WORKER.part]),
    alone([WORKER.program], [`./${relative(dirname(WORKER.program), WORKER.part)}`]),
  ];
  for (const { path, text } of shared.outputFiles)
    write(path, transformSync(text.replace(/^#!.*\n/, ''), AS_COMMON_JS).code);
  for (const { path, text } of parts.flatMap(({ outputFiles }) => outputFiles)) write(path, text);
  const start = join(source, 'images/start.js');
  write(
    join(root, START),
    transformSync(readFileSync(start, 'utf8'), { format: 'cjs', platform: 'node' }).code,
  );
  for (const program of [...PROGRAMS, ...ALONE, WORKER.program]) {
    const own = join(root, 'build', program);
    const to = (path: string): string => relative(dirname(own), path);
    write(
      own,
      `#!/usr/bin/node\nrequire('./${to(join(root, START))}').load(require.resolve('./${to(join(code, program))}'));\n`,
    );
  }
  const text = readFileSync(join(projectRoot, 'package.json'), 'utf8');
  const described = { ...(JSON.parse(text) as object), type: 'commonjs' };
  write(join(root, 'package.json'), `${JSON.stringify(described, null, 2)}\n`);
  const inputs = [shared, ...parts].flatMap(({ metafile }) => Object.keys(metafile.inputs));
  return packagesOf(inputs);
}

type Joined = ReturnType<typeof buildSync<typeof USUAL>>;

const START = 'build/start.js';

function write(path: string, text: string): void {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text);
}

/**
 * Has joined modules compiled ahead, by the Node that will run them: `run` executes it with parameters.
 * `folder` is where that Node finds what joinModules() wrote below its root.
 */
export function compileAhead(folder: string, run: (parameters: readonly string[]) => void): void {
  const files = (paths: readonly string[]): string =>
    JSON.stringify(paths.map((path) => join(folder, 'build/code', path)));
  const compile = (paths: readonly string[], options: readonly string[]): void => {
    const script = `require('${join(folder, START)}').compile(${files(paths)}); process.exit(0);`;
    // Predictable: the same modules give the same octets.
    run([...options, '--predictable', '-e', script]);
  };
  compile(PARTS, []);
  compile([WORKER.part], NODE_OPTIONS);
}

/** Names of the packages that paths below `node_modules` belong to. */
export function packagesOf(paths: readonly string[]): ReadonlySet<string> {
  const names = paths.flatMap((path) => {
    const [, name] = /.*node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(path) ?? [];
    return name === undefined ? [] : [name];
  });
  return new Set(names);
}
