/**
 * Runs benchmarks by name: `npm run bench -- [l4|control|health|http1|l7|l7-stream|failover …] [--json] [--runs N] [--repeat N]`,
 * and for l7 `[--seconds S] [--workers N] [--only CASE …]`.
 *
 * Invariant: a benchmark never passes or fails on a clock; it fails only when what it measures
 * does not work. With --json it prints one object a line, a stable interface.
 */
import { parseArgs } from 'node:util';

/** Each has a module beside this one that exports `run(options)`. */
const names = ['l4', 'control', 'health', 'http1', 'l7', 'l7-stream', 'failover'] as const;
type Name = (typeof names)[number];

export interface BenchArguments {
  readonly json: boolean;
  readonly runs?: number;
  readonly repeat?: number;
  readonly seconds?: number;
  readonly workers?: number;
  readonly only?: readonly string[];
  readonly loaded?: number;
  readonly interval?: number;
}

interface Bench {
  readonly defaults?: object;
  readonly run: (options: object) => Promise<void>;
}

function isName(text: string): text is Name {
  return (names as readonly string[]).includes(text);
}

function isBench(module: unknown): module is Bench {
  return (
    typeof module === 'object' &&
    module !== null &&
    'run' in module &&
    typeof module.run === 'function'
  );
}

/** Loaded only when asked for: a benchmark may need what another does not. */
async function load(name: Name): Promise<Bench> {
  const module: unknown = await import(new URL(`./${name}.js`, import.meta.url).href);
  if (!isBench(module)) throw new Error(`test/bench/${name}.ts exports no function run`);
  return module;
}

function count(text: string | undefined, option: string): number | undefined {
  if (text === undefined) return undefined;
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1) {
    throw new Error(`${option} takes a whole number above 0, not "${text}"`);
  }
  return value;
}

const usage = `npm run bench -- [${names.join('|')} …] [--json] [--runs N] [--repeat N]
  --json         one object a line
  --runs N       rounds, of which the median counts
  --repeat N     repetitions of a packet (l4)
  --seconds S    of each case, --workers N of each proxy, --only CASE … (l7, failover)
  --loaded S     seconds in which a pair must keep its roles on a busy machine,
                 --interval MS between its advertisements (failover)`;

function parse() {
  try {
    return parseArgs({
      allowPositionals: true,
      options: {
        json: { type: 'boolean', default: false },
        runs: { type: 'string' },
        repeat: { type: 'string' },
        seconds: { type: 'string' },
        workers: { type: 'string' },
        only: { type: 'string', multiple: true },
        loaded: { type: 'string' },
        interval: { type: 'string' },
        help: { type: 'boolean', default: false },
      },
    });
  } catch (error) {
    console.error(`${error instanceof Error ? error.message : String(error)}\n\n${usage}`);
    process.exit(2);
  }
}

const { values, positionals } = parse();
if (values.help) {
  console.log(usage);
  process.exit(0);
}
const unknown = positionals.filter((name) => !isName(name));
if (unknown.length > 0) {
  console.error(`no benchmark ${unknown.join(', ')}: there are ${names.join(', ')}`);
  process.exit(2);
}
const wanted = positionals.length === 0 ? [...names] : positionals.filter(isName);
const runs = count(values.runs, '--runs');
const repeat = count(values.repeat, '--repeat');
const seconds = count(values.seconds, '--seconds');
const workers = count(values.workers, '--workers');
const loaded = count(values.loaded, '--loaded');
const interval = count(values.interval, '--interval');
const given: BenchArguments = {
  json: values.json,
  ...(runs === undefined ? {} : { runs }),
  ...(repeat === undefined ? {} : { repeat }),
  ...(seconds === undefined ? {} : { seconds }),
  ...(workers === undefined ? {} : { workers }),
  ...(loaded === undefined ? {} : { loaded }),
  ...(interval === undefined ? {} : { interval }),
  ...(values.only === undefined ? {} : { only: values.only.flatMap((text) => text.split(',')) }),
};
for (const name of wanted) {
  const bench = await load(name);
  await bench.run({ ...bench.defaults, ...given });
}
