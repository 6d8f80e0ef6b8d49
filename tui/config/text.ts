/**
 * Parts of a candidate as YAML text, and back, with errors at their lines. Pure.
 */
import type { ConfigError } from '../../appliance/api/contract.js';
import type { JsonValue } from '../../appliance/config/canonical.js';
import { formatPath, parsePath, type Path } from '../../appliance/config/errors.js';
import { readYaml } from '../../appliance/config/yaml-reader.js';
import { writeYaml } from '../../appliance/config/yaml-writer.js';
import { ordered, type Node } from './schema.js';

export interface LineError {
  /** From 1. */
  readonly line: number;
  readonly message: string;
}

export function yamlOf(value: JsonValue | undefined, node: Node | null): string {
  return value === undefined ? '' : writeYaml(ordered(value, node));
}

export type TextResult =
  | { readonly ok: true; readonly value: JsonValue }
  | { readonly ok: false; readonly errors: readonly LineError[] };

export function parsedText(text: string): TextResult {
  const read = readYaml(text);
  if (read.ok) return { ok: true, value: read.value };
  return {
    ok: false,
    errors: read.errors.map(({ line = 1, message }) => ({ line, message })),
  };
}

/** Errors of the whole document at the lines of a text of one part; what lies elsewhere is left out. */
export function placed(text: string, path: Path, errors: readonly ConfigError[]): LineError[] {
  const read = readYaml(text);
  if (!read.ok) return [];
  return errors.flatMap((error) => {
    const at = parsePath(error.path);
    if (at === null || !path.every((step, index) => at[index] === step)) return [];
    const below = at.slice(path.length);
    const { line } = read.locate(below, error.code === 'unknown-key' ? 'key' : 'value');
    const where = below.length === 0 ? '' : `${formatPath(below)}: `;
    return [{ line, message: `${where}${error.message}` }];
  });
}
