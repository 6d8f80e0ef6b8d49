/**
 * Looking things up in the schema: which keys a map may have at some path, in which
 * order, and what a field is.
 *
 * Invariant: only zod's public classes are used, so whatever the walk cannot see (a
 * type of schema that the language does not use yet) is reported by the reference's
 * unit test, not skipped.
 */
import { z } from 'zod';
import type { Path } from './errors.js';

export type Schema = z.core.$ZodType;

/** What is left without "may be left out", defaults and transformations: the written form. */
export function written(schema: Schema): Schema {
  let inner = schema;
  for (;;) {
    if (
      inner instanceof z.ZodOptional ||
      inner instanceof z.ZodDefault ||
      inner instanceof z.ZodPrefault ||
      inner instanceof z.ZodNullable
    ) {
      inner = inner.def.innerType;
    } else if (inner instanceof z.ZodPipe) {
      inner = inner.def.in;
    } else {
      return inner;
    }
  }
}

/** The schema itself and every wrapper around it, outermost first. */
export function layers(schema: Schema): Schema[] {
  const all = [schema];
  let inner = schema;
  while (
    inner instanceof z.ZodOptional ||
    inner instanceof z.ZodDefault ||
    inner instanceof z.ZodPrefault ||
    inner instanceof z.ZodNullable ||
    inner instanceof z.ZodPipe
  ) {
    inner = inner instanceof z.ZodPipe ? inner.def.in : inner.def.innerType;
    all.push(inner);
  }
  return all;
}

/** A metadata entry of the schema or, failing that, of what it wraps. */
export function metadata(schema: Schema, key: string): unknown {
  for (const layer of layers(schema)) {
    const value = z.globalRegistry.get(layer)?.[key];
    if (value !== undefined) return value;
  }
  return undefined;
}

/** The options of a discriminated union, by the value of its discriminator. */
export function alternativesOf(schema: z.ZodDiscriminatedUnion): Map<string, z.ZodObject> {
  const found = new Map<string, z.ZodObject>();
  for (const option of schema.options) {
    const object = written(option);
    if (!(object instanceof z.ZodObject)) continue;
    const shape: Readonly<Record<string, Schema>> = object.shape;
    const literal = shape[schema.def.discriminator];
    if (literal instanceof z.ZodLiteral) {
      for (const value of literal.values) found.set(String(value), object);
    }
  }
  return found;
}

/** The keys that a map may have, as the schema orders them; null when any name may stand there. */
export function keysOf(schema: Schema, value: unknown): readonly string[] | null {
  const inner = concrete(schema, value);
  return inner instanceof z.ZodObject ? Object.keys(inner.shape) : null;
}

/** The schema of one key or list item of a value; null when there is none. */
export function stepInto(schema: Schema, value: unknown, step: string | number): Schema | null {
  const inner = concrete(schema, value);
  if (inner instanceof z.ZodObject) {
    const shape: Readonly<Record<string, Schema>> = inner.shape;
    return Object.hasOwn(shape, step) ? (shape[step] ?? null) : null;
  }
  if (inner instanceof z.ZodRecord) return inner.def.valueType;
  if (inner instanceof z.ZodArray) return inner.def.element;
  return null;
}

/** The schema at a path of a document; null when the schema has nothing there. */
export function schemaAt(schema: Schema, value: unknown, path: Path): Schema | null {
  let at: Schema | null = schema;
  let current = value;
  for (const step of path) {
    if (at === null) return null;
    at = stepInto(at, current, step);
    current = childOf(current, step);
  }
  return at;
}

/** The value at a path, undefined when there is none. */
export function valueAt(value: unknown, path: Path): unknown {
  return path.reduce<unknown>(childOf, value);
}

function childOf(value: unknown, step: string | number): unknown {
  if (typeof value !== 'object' || value === null || !Object.hasOwn(value, step)) return undefined;
  return (value as Record<string | number, unknown>)[step];
}

/** Without wrappers, and for a union the option that a value of this kind belongs to. */
function concrete(schema: Schema, value: unknown): Schema {
  const inner = written(schema);
  if (inner instanceof z.ZodDiscriminatedUnion) {
    const kind = childOf(value, inner.def.discriminator);
    return alternativesOf(inner).get(String(kind)) ?? inner;
  }
  if (inner instanceof z.ZodUnion) {
    const options: readonly Schema[] = inner.options;
    const option = options.find((one) => kindOf(written(one)) === kindOfValue(value));
    return option === undefined ? inner : concrete(option, value);
  }
  return inner;
}

type Kind = 'list' | 'map' | 'scalar';

function kindOf(schema: Schema): Kind {
  if (schema instanceof z.ZodArray) return 'list';
  return schema instanceof z.ZodObject || schema instanceof z.ZodRecord ? 'map' : 'scalar';
}

function kindOfValue(value: unknown): Kind {
  if (Array.isArray(value)) return 'list';
  return typeof value === 'object' && value !== null ? 'map' : 'scalar';
}
