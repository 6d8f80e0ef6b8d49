/**
 * Mutated configurations: the reader never throws, every error says a line and a
 * sentence, and whatever is accepted survives being written and read again.
 *
 * The seeds are the golden configurations and test/fuzz/yaml-seeds/, where every text
 * that once failed stays. WEIR_SEED repeats a run, WEIR_FUZZ_RUNS makes it longer.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { parseText, toYaml } from '../../appliance/config/document.js';
import { formatConfigError } from '../../appliance/config/errors.js';
import { firstSliceCapabilities, unsupported } from '../../appliance/config/support.js';
import { projectRoot } from '../../appliance/paths.js';
import { generator } from '../support/random.js';

const runs = Number(process.env['WEIR_FUZZ_RUNS'] ?? 4_000);
const seed = Number(process.env['WEIR_SEED'] ?? Date.now() % 2 ** 32);

const folders = ['test/fuzz/yaml-seeds', 'test/unit/config/golden'];
const seeds = folders.flatMap((folder) =>
  readdirSync(join(projectRoot, folder))
    .filter((file) => file.endsWith('.yaml'))
    .map((file) => ({
      file: `${folder}/${file}`,
      text: readFileSync(join(projectRoot, folder, file), 'utf8'),
    }))
    .filter(({ text }) => text.length < 10_000),
);

/** What YAML and the language react to. */
const fragments = [
  ':',
  ': ',
  '- ',
  '? ',
  '\n',
  '\n  ',
  '\t',
  '{',
  '}',
  '[',
  ']',
  ',',
  '#',
  '&a ',
  '*a',
  '!',
  '!!str ',
  '!!binary ',
  '|',
  '>',
  '"',
  "'",
  '%',
  '@',
  '`',
  '---\n',
  '...\n',
  '<<',
  '~',
  'null',
  'true',
  '0x1',
  '-0',
  '.inf',
  '1e999',
  '9007199254740993',
  '__proto__',
  'constructor',
  '\\',
  '\\u0000',
  '\u0000',
  '\ufeff',
  '\ud83d',
  '\u2028',
  '\u0085',
  'é',
  '😀',
  '\r',
  '\r\n',
  'version',
  'pools',
  'members',
  'weight',
  'address',
  '10.0.0.1',
  '::ffff:1.2.3.4',
  '5s',
  'maglev',
  '%YAML 1.1\n---\n',
];

function mutate(text: string, pick: (below: number) => number): string {
  let result = text;
  for (let round = 0, rounds = 1 + pick(6); round < rounds; round++) {
    const at = pick(result.length + 1);
    const length = pick(12);
    switch (pick(7)) {
      case 0:
        result = result.slice(0, at) + result.slice(at + length);
        break;
      case 1:
      case 2:
        result = result.slice(0, at) + (fragments[pick(fragments.length)] ?? '') + result.slice(at);
        break;
      case 3:
        result =
          result.slice(0, at) +
          String.fromCharCode(pick(pick(4) === 0 ? 65_536 : 128)) +
          result.slice(at + 1);
        break;
      case 4: {
        // A part of the text once more, somewhere else.
        const from = pick(result.length + 1);
        result = result.slice(0, at) + result.slice(from, from + length * 8) + result.slice(at);
        break;
      }
      case 5: {
        const other = seeds[pick(seeds.length)]?.text ?? '';
        const from = pick(other.length + 1);
        result = result.slice(0, at) + other.slice(from, from + length * 20) + result.slice(at);
        break;
      }
      default:
        result = result.slice(0, at);
    }
  }
  return result;
}

/** @returns whether the text was accepted */
function examine(text: string): boolean {
  const result = parseText(text);
  if (!result.ok) {
    assert.ok(result.errors.length > 0, 'a refusal has an error');
    const lines = text.split(/\r\n|\r|\n/).length;
    for (const error of result.errors) {
      const shown = formatConfigError(error);
      assert.ok(
        error.line !== undefined && error.line >= 1 && error.line <= lines,
        `line within the text of ${lines}: ${shown}`,
      );
      assert.ok(error.column !== undefined && error.column >= 1, `column: ${shown}`);
      assert.ok(error.message.length > 8, `a sentence: ${shown}`);
      assert.not.match(shown, /[\p{Cc}\p{Cs}]/u, 'safe to print');
      assert.not.match(error.message, /undefined|\[object|NaN/, shown);
    }
    return false;
  }
  unsupported(result.intent, firstSliceCapabilities);
  const again = parseText(toYaml(result.document));
  assert.ok(
    again.ok,
    again.ok ? '' : `written and read again: ${again.errors.map(formatConfigError).join('; ')}`,
  );
  if (again.ok) assert.equal(again.document, result.document);
  return true;
}

function report(text: string, label: string): boolean {
  try {
    return examine(text);
  } catch (error) {
    throw new Error(
      `${label}; ${error instanceof Error ? error.message : String(error)}; keep this text as a seed:\n${JSON.stringify(text.slice(0, 2_000))}`,
      { cause: error },
    );
  }
}

const fuzz = suite('mutated configurations');

fuzz('every seed by itself', () => {
  assert.ok(seeds.length > 100, `the seeds are found, seen ${seeds.length}`);
  for (const { file, text } of seeds) report(text, file);
});

fuzz(`${runs} mutations (WEIR_SEED=${seed})`, () => {
  const pick = generator(seed);
  let accepted = 0;
  for (let run = 0; run < runs; run++) {
    const { file, text } = seeds[pick(seeds.length)] ?? { file: '', text: '' };
    if (report(mutate(text, pick), `mutation ${run} of ${file}`)) accepted += 1;
  }
  assert.ok(
    accepted > 0 && accepted < runs,
    `both outcomes occur: ${accepted} of ${runs} accepted`,
  );
});

fuzz('every prefix of the example', () => {
  const text = readFileSync(join(projectRoot, 'appliance/config/example.yaml'), 'utf8');
  for (let length = 0; length < text.length; length += 7)
    report(text.slice(0, length), `prefix of ${length}`);
});

fuzz('bytes without any sense', () => {
  const pick = generator(seed ^ 0xbead);
  for (let run = 0; run < 1_000; run++) {
    const bytes = Uint8Array.from({ length: pick(200) }, () => pick(256));
    report(Buffer.from(bytes).toString(pick(2) === 0 ? 'latin1' : 'utf8'), `noise ${run}`);
  }
});

fuzz('structures that grow: nesting, aliases, keys', () => {
  const bound = 15_000;
  const cases: [string, string][] = [
    ['flow lists', 'a: ' + '['.repeat(100_000)],
    ['flow maps', 'a: ' + '{a: '.repeat(50_000)],
    ['block lists', '- '.repeat(50_000) + 'x'],
    ['complex keys', '? '.repeat(50_000) + 'x'],
    [
      'indentation',
      Array.from({ length: 3_000 }, (_, level) => `${' '.repeat(level)}a:`).join('\n'),
    ],
    ['brackets that do not match', '[}{]'.repeat(50_000)],
    ['quotes', '"'.repeat(100_000)],
    ['anchors', '&a '.repeat(20_000)],
    ['aliases', `a: &a x\nb: [${'*a, '.repeat(50_000)}]\n`],
    ['keys', Array.from({ length: 50_000 }, (_, key) => `k${key}: 1`).join('\n')],
    ['duplicate keys', 'k: 1\n'.repeat(20_000)],
    ['digits', `version: ${'9'.repeat(1_000_000)}\n`],
    ['dots of a duration', `version: 1\nunit: { name: ${'1.'.repeat(50_000)}s }\n`],
  ];
  for (const [label, text] of cases) {
    const begun = performance.now();
    report(text, label);
    // Not a clock to pass, a guard against work that grows with the square.
    const taken = performance.now() - begun;
    assert.ok(taken < bound, `${label} took ${taken.toFixed(0)} ms`);
  }
});

fuzz.run();
