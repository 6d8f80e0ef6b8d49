/**
 * Fields of the schema that are written as text and read as something better: made of
 * the pure parsers of addresses.ts and units-of-measure.ts.
 *
 * Invariant: only the files of the schema import this one. The parsers themselves do not
 * know zod, so the store and the command line start without loading it.
 */
import { z } from 'zod';
import { checkUnicast, parseAddress, parsePrefix } from './addresses.js';
import { parsed, refused, type Parsed } from './parsed.js';
import {
  byteRateHelp,
  byteRatePattern,
  durationHelp,
  durationPattern,
  parseByteRate,
  parseDuration,
  parseRate,
  parseSize,
  rateHelp,
  ratePattern,
  sizeHelp,
  sizePattern,
} from './units-of-measure.js';

/**
 * A field that is written as text and read as something better.
 *
 * @param expected sentence shown when the value is not text at all, such as a bare number
 * @param meta what editors see: `pattern` and `examples` of JSON Schema
 */
export function textField<T>(
  expected: string,
  parse: (text: string) => Parsed<T>,
  meta: { readonly pattern?: string; readonly examples: readonly string[]; readonly kind: string },
) {
  const { kind, examples, ...rest } = meta;
  return z
    .string({ error: (issue) => (issue.input === undefined ? undefined : expected) })
    .meta({ ...rest, examples: [...examples], [kindKey]: kind })
    .transform((text, context): T => {
      const result = parse(text);
      if (result.ok) return result.value;
      context.addIssue({ code: 'custom', message: result.message, input: text });
      return z.NEVER;
    });
}

/** A check of a list (superRefine): a value that is there before is an error at its place. */
export function refuseRepeats(values: readonly string[], context: z.RefinementCtx): void {
  const seen = new Set<string>();
  for (const [index, value] of values.entries()) {
    if (seen.size < seen.add(value).size) continue;
    context.addIssue({
      code: 'custom',
      path: [index],
      message: 'is already in the list: remove it',
      params: { code: 'conflict' },
    });
  }
}

/** Extension keyword that carries the name of a field's type into the reference. */
export const kindKey = 'x-kind';

/** A duration field; the bounds are part of the message. */
export function duration(bounds: { readonly min: string; readonly max: string }) {
  const min = boundOf(parseDuration(bounds.min));
  const max = boundOf(parseDuration(bounds.max));
  const parse = (text: string): Parsed<number> => {
    const result = parseDuration(text);
    if (result.ok && (result.value < min || result.value > max)) {
      return refused(
        `${text} is out of range: write a duration from ${bounds.min} to ${bounds.max}`,
      );
    }
    return result;
  };
  return textField(durationHelp, parse, {
    kind: `duration, ${bounds.min} to ${bounds.max}`,
    pattern: durationPattern,
    examples: ['500ms', '2s', '10m', '1h30m'],
  });
}

export function size(bounds: { readonly min: string; readonly max: string }) {
  const min = boundOf(parseSize(bounds.min));
  const max = boundOf(parseSize(bounds.max));
  const parse = (text: string): Parsed<number> => {
    const result = parseSize(text);
    if (result.ok && (result.value < min || result.value > max)) {
      return refused(`${text} is out of range: write a size from ${bounds.min} to ${bounds.max}`);
    }
    return result;
  };
  return textField(sizeHelp, parse, {
    kind: `size, ${bounds.min} to ${bounds.max}`,
    pattern: sizePattern,
    examples: ['64KiB', '10MiB'],
  });
}

/** Bytes in a second. */
export function byteRate(bounds: { readonly min: string; readonly max: string }) {
  const min = boundOf(parseByteRate(bounds.min));
  const max = boundOf(parseByteRate(bounds.max));
  const parse = (text: string): Parsed<number> => {
    const result = parseByteRate(text);
    if (result.ok && (result.value < min || result.value > max)) {
      return refused(`${text} is out of range: write a speed from ${bounds.min} to ${bounds.max}`);
    }
    return result;
  };
  return textField(byteRateHelp, parse, {
    kind: `speed, ${bounds.min} to ${bounds.max}`,
    pattern: byteRatePattern,
    examples: ['500B/s', '1MiB/s'],
  });
}

export function rate() {
  return textField(rateHelp, parseRate, {
    kind: 'rate',
    pattern: ratePattern,
    examples: ['100/s', '6000/m'],
  });
}

function boundOf(result: Parsed<number>): number {
  if (!result.ok) throw new RangeError(result.message);
  return result.value;
}

const addressHelp = 'an IP address is text, such as 10.0.0.1 or "2001:db8::1"';

/** Any IP address; read as its canonical text. */
export function anyAddress() {
  return textField(addressHelp, (text) => textOf(parseAddress(text)), {
    kind: 'IP address',
    examples: ['10.0.0.1', '2001:db8::1'],
  });
}

/** An address that one host can own; read as its canonical text. */
export function unicastAddress() {
  const parse = (text: string): Parsed<string> => {
    const result = parseAddress(text);
    if (!result.ok) return result;
    const wrong = checkUnicast(result.value);
    return wrong === null ? parsed(result.value.text) : refused(wrong);
  };
  return textField(addressHelp, parse, {
    kind: 'IP address',
    examples: ['10.0.0.1', '2001:db8::1'],
  });
}

/** An address with a prefix length; read as its canonical text. Host bits may be set. */
export function prefix() {
  return textField('a prefix is text, such as 10.0.0.0/8', (text) => textOf(parsePrefix(text)), {
    kind: 'prefix',
    examples: ['10.0.0.0/8', '2001:db8::/32'],
  });
}

function textOf(result: Parsed<{ readonly text: string }>): Parsed<string> {
  return result.ok ? parsed(result.value.text) : result;
}
