/**
 * Metrics as text: OpenMetrics 1.0, and the older format 0.0.4 of Prometheus. Pure.
 *
 * Invariant: all samples of a family stand together, after what says its type; a value that is not
 * known is left out.
 */
export type Format = 'openmetrics' | 'text';

export const CONTENT_TYPES: Readonly<Record<Format, string>> = {
  openmetrics: 'application/openmetrics-text; version=1.0.0; charset=utf-8',
  text: 'text/plain; version=0.0.4; charset=utf-8',
};

/** What follows the family's name, the labels between braces (empty: none), and the value. */
export type Sample = readonly [suffix: string, labels: string, value: number | null];

export interface Family<S> {
  /** Without `_total` and the like; ends with the unit, if it has one. */
  readonly name: string;
  readonly type: 'counter' | 'gauge' | 'histogram' | 'summary' | 'info';
  readonly unit?: 'seconds' | 'bytes' | 'ratio';
  readonly help: string;
  readonly samples: (of: S) => Iterable<Sample>;
}

/** Suffix of the one sample that families of these types have. */
const SUFFIX = { counter: '_total', info: '_info', gauge: '', histogram: '', summary: '' } as const;

/** `name="value",…`; ABNF of OpenMetrics: backslash, quote and line feed are escaped. */
export function labels(pairs: Readonly<Record<string, string | number>>): string {
  return Object.entries(pairs)
    .map(([name, value]) => `${name}="${escaped(String(value))}"`)
    .join(',');
}

function escaped(text: string): string {
  return text.replace(/[\\"\n]/g, (one) => (one === '\n' ? '\\n' : `\\${one}`));
}

/** Pieces of some 32 KiB, so that nobody makes the whole at one time; empty ones are occasions to rest. */
export function* exposition<S>(
  families: readonly Family<S>[],
  of: S,
  format: Format,
): Generator<string, void, void> {
  let text = '';
  for (const family of families) {
    let begun = false;
    for (const [suffix, label, value] of family.samples(of)) {
      if (value === null) continue;
      if (!begun) text += head(family, format);
      begun = true;
      const name = family.name + (suffix === '' ? SUFFIX[family.type] : suffix);
      text += label === '' ? `${name} ${number(value)}\n` : `${name}{${label}} ${number(value)}\n`;
      if (text.length < 32_768) continue;
      yield text;
      text = '';
    }
    yield '';
  }
  yield format === 'openmetrics' ? `${text}# EOF\n` : text;
}

function head({ name, type, unit, help }: Family<never>, format: Format): string {
  const said = help.replace(/[\\\n]/g, (one) => (one === '\n' ? '\\n' : '\\\\'));
  if (format === 'text') {
    const full = name + SUFFIX[type];
    return `# HELP ${full} ${said}\n# TYPE ${full} ${type === 'info' ? 'gauge' : type}\n`;
  }
  const units = unit === undefined ? '' : `# UNIT ${name} ${unit}\n`;
  return `# TYPE ${name} ${type}\n${units}# HELP ${name} ${said}\n`;
}

function number(value: number): string {
  if (Number.isFinite(value)) return String(value);
  return Number.isNaN(value) ? 'NaN' : value > 0 ? '+Inf' : '-Inf';
}

/** A bound of a bucket, in the one way that OpenMetrics asks for. */
export function boundText(bound: number): string {
  return Number.isInteger(bound) ? `${bound}.0` : number(bound);
}
