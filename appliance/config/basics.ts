/**
 * The small fields that every part of the language shares: names, plain text, ports.
 *
 * Invariant: names are safe everywhere they go (paths of the API, metrics, shell
 * words, keys of plain objects), so nothing downstream has to escape them.
 */
import { z } from 'zod';
import { kindKey, textField } from './fields.js';
import { parsed, refused, type Parsed } from './parsed.js';
import { quote } from './words.js';

const namePattern = '^[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$';
const nameHelp =
  'a name has 1 to 63 letters, digits, ".", "_" or "-", and begins and ends with a letter or digit';

export function parseName(text: string): Parsed<string> {
  if (!new RegExp(namePattern).test(text)) return refused(`${quote(text)} is no name: ${nameHelp}`);
  // Names are keys of plain objects: one that every object already has would be found everywhere.
  if (text in Object.prototype) return refused(`${quote(text)} is reserved: choose another name`);
  return parsed(text);
}

/** A name, of a thing or referring to one. */
export function name() {
  return textField('a name is text: put it between quotes', parseName, {
    kind: 'name',
    pattern: namePattern,
    examples: ['web'],
  });
}

const interfacePattern = '^[^\\s/:]{1,15}$';

/** A network interface's name as the kernel takes it (dev_valid_name: 1 to 15 bytes, no "/", ":" or space). */
export function interfaceName() {
  const parse = (text: string): Parsed<string> =>
    new RegExp(interfacePattern).test(text) &&
    Buffer.byteLength(text) <= 15 &&
    text !== '.' &&
    text !== '..' &&
    !/\p{Cc}/u.test(text)
      ? parsed(text)
      : refused(
          `${quote(text)} is no interface name: it has 1 to 15 bytes without "/", ":" or spaces`,
        );
  return textField('an interface name is text', parse, {
    kind: 'interface name',
    pattern: interfacePattern,
    examples: ['eth0'],
  });
}

/** A line of text for people. Control characters are refused: it is shown on terminals. */
export function line(maximum: number) {
  const parse = (text: string): Parsed<string> => {
    if (text.length > maximum)
      return refused(`the text has ${text.length} characters, at most ${maximum} fit`);
    if (/[\p{Cc}\p{Zl}\p{Zp}]/u.test(text)) {
      return refused('the text has line breaks or control characters: write one plain line');
    }
    return parsed(text);
  };
  return textField('write text; put it between quotes when it looks like a number', parse, {
    kind: 'text',
    examples: [],
  });
}

/** Bytes to send or to look for, written as text; every escape of YAML's double quotes may be used. */
export function payload() {
  return z
    .string({
      error: (issue) =>
        issue.input === undefined ? undefined : 'write text; put it between quotes',
    })
    .min(1)
    .max(4096)
    .meta({ examples: ['PING\r\n'], [kindKey]: 'text' });
}

/** A TCP or UDP port. */
export function port() {
  return z
    .int()
    .min(1)
    .max(65535)
    .meta({ [kindKey]: 'port' });
}

/**
 * A DNS name in lower case (RFC 1123 §2.1 labels). With `wildcards` it may have `*.` in front: what
 * that stands for is up to who uses it.
 */
export function hostName(options: { readonly wildcards?: 'one label' | 'any name below' } = {}) {
  const label = '[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?';
  const pattern = `^${options.wildcards !== undefined ? '(?:\\*\\.)?' : ''}${label}(?:\\.${label})*$`;
  const parse = (text: string): Parsed<string> => {
    const lower = text.toLowerCase().replace(/(?<=.)\.$/, '');
    return lower.length <= 253 && new RegExp(pattern).test(lower)
      ? parsed(lower)
      : refused(
          `${quote(text)} is no host name: write one such as shop.example${options.wildcards !== undefined ? ' or *.shop.example' : ''}`,
        );
  };
  return textField('a host name is text', parse, {
    kind:
      options.wildcards !== undefined
        ? options.wildcards === 'one label'
          ? 'host name, "*." in front stands for any one label'
          : 'host name, "*." in front stands for any name below'
        : 'host name',
    examples: ['shop.example'],
  });
}

/** Either one value or a list of at least one; read as a list. */
export function oneOrMore<T extends z.ZodType>(item: T, maximum = 256) {
  return z
    .union([z.array(item).min(1).max(maximum), item.transform((value): z.output<T>[] => [value])])
    .meta({ [kindKey]: 'one or a list' });
}
