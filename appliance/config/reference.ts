/**
 * The reference of the configuration language, made from the schema: Markdown for
 * people, JSON Schema for editors.
 *
 *     node build/appliance/config/reference.js          says whether the files are up to date
 *     node build/appliance/config/reference.js --write  writes them
 *
 * Invariant: nothing about a key is written here; it is all in the schema. Both files
 * are generated, and a unit test fails when they are stale.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { argv } from 'node:process';
import { pathToFileURL } from 'node:url';
import { z } from 'zod';
import { projectRoot } from '../paths.js';
import { kindKey } from './fields.js';
import { documentShape, intentSchema } from './schema.js';
import { alternativesOf, layers, metadata, written, type Schema } from './schema-walk.js';
import { alternatives } from './words.js';

/** The generated files by their path from the project's root. */
export const referenceFiles: Readonly<Record<string, () => string>> = {
  'appliance/config/reference.md': markdownReference,
  'appliance/config/weir.schema.json': () => `${JSON.stringify(jsonSchema(), null, 2)}\n`,
};

/** JSON Schema (draft 7, which editors know best) of what may be written. */
export function jsonSchema(): Record<string, unknown> {
  const schema = z.toJSONSchema(documentShape, {
    io: 'input',
    target: 'draft-7',
    override({ jsonSchema: part }) {
      delete part[kindKey];
    },
  });
  return { ...schema, title: 'Weir configuration' };
}

interface Section {
  readonly title: string;
  readonly schema: z.ZodObject;
  readonly text: string;
}

export function markdownReference(): string {
  const sections: Section[] = [];
  collect('document', intentSchema, sections);
  const parts = [
    '<!-- Made by appliance/config/reference.ts from the schema; do not edit. -->',
    '',
    '# Reference of the configuration language',
    '',
    'One YAML 1.2 document. Keys are exact: a key that is not listed here is an error. `<name>` stands for',
    'a name that you choose, `[]` for each entry of a list. Keys without a default may be left out unless',
    'they are marked as required.',
  ];
  for (const section of sections) {
    parts.push('', `## \`${section.title}\``, '', section.text, '');
    parts.push('| key | type | default | meaning |', '| --- | --- | --- | --- |');
    for (const [key, field] of fieldsOf(section.schema)) {
      parts.push(
        `| \`${key}\` | ${cell(typeName(field))} | ${cell(defaultOf(field))} | ${cell(descriptionOf(field))} |`,
      );
    }
  }
  return `${parts.join('\n')}\n`;
}

/** Walks down the schema; every strict map becomes a section of its own. */
function collect(title: string, schema: Schema, sections: Section[]): void {
  const inner = written(schema);
  if (inner instanceof z.ZodObject) {
    sections.push({ title, schema: inner, text: descriptionOf(schema) });
    const prefix = title === 'document' ? '' : `${title}.`;
    for (const [key, field] of fieldsOf(inner)) collect(`${prefix}${key}`, field, sections);
  } else if (inner instanceof z.ZodRecord) {
    collect(`${title}.<name>`, inner.def.valueType, sections);
  } else if (inner instanceof z.ZodArray) {
    collect(`${title}[]`, inner.def.element, sections);
  } else if (inner instanceof z.ZodDiscriminatedUnion) {
    const { discriminator } = inner.def;
    for (const [kind, option] of alternativesOf(inner)) {
      collect(`${title} (${discriminator}: ${kind})`, option, sections);
    }
  } else if (inner instanceof z.ZodUnion) {
    const options: readonly Schema[] = inner.options;
    // One section is enough for one entry and a list of them.
    const either = metadata(schema, kindKey) === 'one or a list';
    for (const option of options.slice(0, either ? 1 : undefined)) {
      collect(title, option, sections);
    }
  }
}

/** Keys and their schemas; zod types a shape of unknown origin as `any`. */
function fieldsOf(schema: z.ZodObject): [string, Schema][] {
  const shape: Readonly<Record<string, Schema>> = schema.shape;
  return Object.entries(shape);
}

/** The first description from the outside in; empty when there is none, which a test refuses. */
export function descriptionOf(schema: Schema): string {
  const text = metadata(schema, 'description');
  return typeof text === 'string' ? text : '';
}

function typeName(schema: Schema): string {
  const inner = written(schema);
  const kind = metadata(schema, kindKey);
  if (inner instanceof z.ZodUnion && !(inner instanceof z.ZodDiscriminatedUnion)) {
    const options: readonly Schema[] = inner.options;
    return kind === 'one or a list'
      ? `${options
          .filter((one) => !(written(one) instanceof z.ZodArray))
          .map(typeName)
          .join(' or ')}, or a list`
      : options.map(typeName).join(' or ');
  }
  if (inner instanceof z.ZodNumber) {
    const what = typeof kind === 'string' ? kind : 'number';
    const { minValue, maxValue } = inner;
    return `${what}, ${minValue ?? '…'} to ${maxValue ?? '…'}`;
  }
  if (typeof kind === 'string') return kind;
  if (inner instanceof z.ZodEnum) return inner.options.map((word) => `\`${word}\``).join(', ');
  if (inner instanceof z.ZodLiteral)
    return [...inner.values].map((word) => `\`${String(word)}\``).join(', ');
  if (inner instanceof z.ZodBoolean) return '`true`, `false`';
  if (inner instanceof z.ZodArray) return `list: ${typeName(inner.def.element)}`;
  if (inner instanceof z.ZodRecord) return `map by name: ${typeName(inner.def.valueType)}`;
  if (inner instanceof z.ZodDiscriminatedUnion) {
    return `map, by its \`${inner.def.discriminator}\`: ${alternatives([...alternativesOf(inner).keys()])}`;
  }
  if (inner instanceof z.ZodObject) return 'map';
  if (inner instanceof z.ZodString || inner instanceof z.ZodURL || inner instanceof z.ZodEmail)
    return 'text';
  throw new TypeError(
    `The reference knows no name for the schema type ${inner._zod.def.type}: add it to typeName.`,
  );
}

function defaultOf(schema: Schema): string {
  const wrappers = layers(schema);
  for (const layer of wrappers) {
    if (layer instanceof z.ZodDefault || layer instanceof z.ZodPrefault) {
      const value: unknown = layer.def.defaultValue;
      return typeof value === 'object'
        ? 'empty'
        : `\`${JSON.stringify(value).replaceAll('"', '')}\``;
    }
  }
  return wrappers.some((layer) => layer instanceof z.ZodOptional) ? '' : 'required';
}

function cell(text: string): string {
  return text.replaceAll('|', '\\|').replaceAll('\n', ' ');
}

/** Paths of generated files whose text on disk is not what the schema gives now. */
export function staleFiles(): string[] {
  return Object.entries(referenceFiles).flatMap(([path, make]) =>
    readIfThere(path) === make() ? [] : [path],
  );
}

function readIfThere(path: string): string | null {
  try {
    return readFileSync(join(projectRoot, path), 'utf8');
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return null;
    throw error;
  }
}

function main(): void {
  const stale = staleFiles();
  if (argv[2] === '--write') {
    for (const path of stale) {
      writeFileSync(join(projectRoot, path), referenceFiles[path]?.() ?? '');
      console.log(`written: ${path}`);
    }
  } else {
    for (const path of stale) console.error(`stale: ${path}`);
    process.exitCode = stale.length === 0 ? 0 : 1;
  }
}

if (argv[1] !== undefined && import.meta.url === pathToFileURL(argv[1]).href) main();
