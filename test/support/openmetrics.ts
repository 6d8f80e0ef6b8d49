/**
 * A strict reader of OpenMetrics 1.0 (and of format 0.0.4 by the same rules): the test's own, so that
 * what writes and what reads agree on the specification alone. Throws where a line breaks a rule.
 */
export interface ReadSample {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

export interface ReadFamily {
  readonly name: string;
  readonly type: string;
  readonly unit: string;
  readonly help: string;
  readonly samples: readonly ReadSample[];
}

const SUFFIXES: Readonly<Record<string, readonly string[]>> = {
  counter: ['_total'],
  gauge: [''],
  info: ['_info'],
  histogram: ['_bucket', '_count', '_sum'],
  summary: ['', '_count', '_sum'],
};
const NAME = /^[a-zA-Z_:][a-zA-Z0-9_:]*$/;
const LABEL_NAME = /^[a-zA-Z_][a-zA-Z0-9_]*$/;
const NUMBER = /^(?:[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:e[+-]?\d+)?|[+-]Inf|NaN)$/;

export function readOpenMetrics(text: string): Map<string, ReadFamily> {
  if (!text.endsWith('\n# EOF\n')) throw new Error('the end is not "# EOF" and a line feed');
  const families = read(text.slice(0, -'# EOF\n'.length), (name) => name);
  for (const family of families.values()) checkFamily(family);
  return families;
}

/** Of format 0.0.4: names of types are those of samples. */
export function readText(text: string): Map<string, ReadFamily> {
  if (text.includes('# EOF') || text.includes('# UNIT')) throw new Error('that is OpenMetrics');
  return read(text, (name, type) => (type === 'counter' ? name.replace(/_total$/, '') : name));
}

function read(
  text: string,
  nameOf: (name: string, type: string) => string,
): Map<string, ReadFamily> {
  const families = new Map<string, ReadFamily & { samples: ReadSample[] }>();
  const head: { name: string; type: string; unit: string; help: string } = {
    ...{ name: '', type: '', unit: '', help: '' },
  };
  let current: (ReadFamily & { samples: ReadSample[] }) | null = null;
  if (!text.endsWith('\n')) throw new Error('the last line has no end');
  for (const line of text.slice(0, -1).split('\n')) {
    const meta = /^# (TYPE|HELP|UNIT) (\S+) (.*)$/.exec(line);
    if (meta !== null) {
      const [, what = '', name = '', said = ''] = meta;
      if (current !== null || head.name !== name) {
        if (current === null && head.name !== '') throw new Error(`${head.name} has no samples`);
        Object.assign(head, { name, type: '', unit: '', help: '' });
        current = null;
      }
      const key = what.toLowerCase() as 'type' | 'unit' | 'help';
      if (head[key] !== '') throw new Error(`two ${what} of ${name}`);
      head[key] = said;
      continue;
    }
    if (line.startsWith('#')) throw new Error(`not a comment that is allowed: ${line}`);
    const sample = readSample(line);
    if (current === null) {
      const name = nameOf(head.name, head.type);
      if (families.has(name)) throw new Error(`${name} comes in two pieces`);
      current = { ...head, name, samples: [] };
      families.set(name, current);
    }
    if (!sample.name.startsWith(current.name)) throw new Error(`${sample.name} in ${current.name}`);
    current.samples.push(sample);
  }
  return families;
}

function readSample(line: string): ReadSample {
  const match = /^([^{ ]+)(?:\{(.*)\})? (\S+)$/.exec(line);
  if (match === null) throw new Error(`no sample: ${line}`);
  const [, name = '', labelText, value = ''] = match;
  if (!NAME.test(name)) throw new Error(`no name: ${name}`);
  if (!NUMBER.test(value)) throw new Error(`no number: ${value}`);
  const number = value.endsWith('Inf')
    ? value.startsWith('-')
      ? -Infinity
      : Infinity
    : Number(value);
  return { name, labels: labelText === undefined ? {} : readLabels(labelText), value: number };
}

function readLabels(text: string): Record<string, string> {
  const found: Record<string, string> = {};
  const one = /([^=,]+)="((?:[^"\\\n]|\\["\\n])*)"(,|$)/y;
  while (one.lastIndex < text.length) {
    const match = one.exec(text);
    if (match === null) throw new Error(`labels: ${text}`);
    const [, name = '', value = '', comma] = match;
    if (!LABEL_NAME.test(name) || name in found) throw new Error(`label ${name}: ${text}`);
    found[name] = value.replace(/\\(.)/g, (_, char: string) => (char === 'n' ? '\n' : char));
    if (comma === '' && one.lastIndex !== text.length) throw new Error(`labels: ${text}`);
    if (comma === ',' && one.lastIndex === text.length) throw new Error(`labels end: ${text}`);
  }
  return found;
}

function checkFamily({ name, type, unit, help, samples }: ReadFamily): void {
  const suffixes = SUFFIXES[type];
  if (suffixes === undefined) throw new Error(`${name} has the type ${type}`);
  if (help === '') throw new Error(`${name} has no help`);
  if (unit !== '' && !name.endsWith(`_${unit}`)) throw new Error(`${name} has the unit ${unit}`);
  if (unit === '' && /_(seconds|bytes)$/.test(name))
    throw new Error(`${name} does not say its unit`);
  if (/_(total|info|count|sum|bucket)$/.test(name)) throw new Error(`${name} ends with a suffix`);
  const seen = new Set<string>();
  for (const { name: full, labels, value } of samples) {
    const suffix = full.slice(name.length);
    if (!suffixes.includes(suffix)) throw new Error(`${full} in the ${type} ${name}`);
    const key = `${full} ${JSON.stringify(Object.entries(labels).sort())}`;
    if (seen.has(key)) throw new Error(`twice: ${key}`);
    seen.add(key);
    if (type !== 'gauge' && !(value >= 0)) throw new Error(`${key} is ${value}`);
    if (type === 'info' && value !== 1) throw new Error(`${key} is ${value}`);
    if (suffix === '_bucket' && !('le' in labels)) throw new Error(`${key} has no bound`);
  }
  if (type === 'histogram') checkHistogram(name, samples);
}

function checkHistogram(name: string, samples: readonly ReadSample[]): void {
  const rows = new Map<string, { bounds: number[]; counts: number[]; count: number }>();
  for (const sample of samples) {
    const { le, ...rest } = sample.labels;
    const key = JSON.stringify(rest);
    const row = rows.get(key) ?? { bounds: [], counts: [], count: NaN };
    rows.set(key, row);
    if (le !== undefined) {
      row.bounds.push(le === '+Inf' ? Infinity : Number(le));
      row.counts.push(sample.value);
    } else if (sample.name === `${name}_count`) row.count = sample.value;
  }
  for (const [key, { bounds, counts, count }] of rows) {
    const grows = (list: readonly number[]): boolean =>
      list.every((value, index) => index === 0 || value >= (list[index - 1] ?? 0));
    if (!grows(bounds) || !grows(counts)) throw new Error(`${name} ${key} is not cumulative`);
    if (bounds.at(-1) !== Infinity || counts.at(-1) !== count) {
      throw new Error(`${name} ${key} does not end with all`);
    }
  }
}
