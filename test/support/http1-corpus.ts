/**
 * Reads the corpus of hostile messages, test/corpus/http1/*.yaml.
 *
 * A file is a list of groups with a `source` and `cases`. A case has a name, the verdict as
 * test/support/http1-judge.ts writes it (a trailing "…" means: begins like this), and the
 * bytes in one of these ways:
 *
 *     bytes       all of them (`response: true` when they are a member's)
 *     line        the request line; Host and the end of the head follow
 *     host        the value of Host of a GET
 *     fields      lines after the Host of a GET, then `body`
 *     post        the same of a POST
 *     chunks      the body of a chunked POST
 *     answer      field lines of a response with the status line `status`, then `body`
 *
 * `each` makes one case of every value put in the place of {}, `but` has other verdicts of
 * some of them, `times` repeats the bytes, `repeat` puts many of something in a place.
 * `to` and `upgrade` say of a response what it answers, `tunnels` that CONNECT is served.
 * Characters up to U+00FF are octets.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';
import { z } from 'zod';
import { projectRoot } from '../../appliance/paths.js';

const shape = z.strictObject({
  name: z.string(),
  source: z.string().optional(),
  verdict: z.string(),
  but: z.record(z.string(), z.string()).optional(),
  bytes: z.string().optional(),
  line: z.string().optional(),
  host: z.string().optional(),
  fields: z.array(z.string()).optional(),
  post: z.array(z.string()).optional(),
  chunks: z.string().optional(),
  answer: z.array(z.string()).optional(),
  status: z.string().default('HTTP/1.1 200 OK'),
  body: z.string().default(''),
  response: z.boolean().default(false),
  each: z.array(z.string()).optional(),
  times: z.number().default(1),
  repeat: z.record(z.string(), z.tuple([z.string(), z.number()])).default({}),
  to: z.enum(['GET', 'HEAD', 'CONNECT']).default('GET'),
  upgrade: z.enum(['none', 'websocket']).default('none'),
  tunnels: z.boolean().default(false),
  /** The host that a request is for. */
  'host-is': z.string().optional(),
  /** Values by name in lower case. */
  'fields-seen': z.record(z.string(), z.string()).optional(),
  /** Names of fields that end at this hop. */
  dropped: z.array(z.string()).optional(),
  /** Bytes that no message claims. */
  left: z.number().optional(),
});
const groups = z.array(z.strictObject({ source: z.string(), cases: z.array(shape) }));
type Shape = z.infer<typeof shape>;

export interface Case {
  readonly id: string;
  readonly source: string;
  readonly side: 'request' | 'response';
  readonly bytes: Uint8Array;
  readonly verdict: string;
  readonly expected: Pick<Shape, 'host-is' | 'fields-seen' | 'dropped' | 'left'>;
  readonly to: Shape['to'];
  readonly upgrade: Shape['upgrade'];
  readonly tunnels: boolean;
}

const lines = (list: readonly string[]): string => list.map((line) => `${line}\r\n`).join('');

function textOf(entry: Shape): string {
  const get = 'GET / HTTP/1.1\r\n';
  const host = 'Host: a.example\r\n';
  if (entry.bytes !== undefined) return entry.bytes;
  if (entry.line !== undefined) return `${entry.line}\r\n${host}\r\n`;
  if (entry.host !== undefined) return `${get}Host: ${entry.host}\r\n\r\n`;
  if (entry.fields !== undefined) return `${get}${host}${lines(entry.fields)}\r\n${entry.body}`;
  if (entry.post !== undefined) {
    return `POST / HTTP/1.1\r\n${host}${lines(entry.post)}\r\n${entry.body}`;
  }
  if (entry.chunks !== undefined) {
    return `POST / HTTP/1.1\r\n${host}Transfer-Encoding: chunked\r\n\r\n${entry.chunks}`;
  }
  if (entry.answer !== undefined) {
    return `${entry.status}\r\n${lines(entry.answer)}\r\n${entry.body}`;
  }
  throw new Error(`the case "${entry.name}" has no bytes`);
}

/** Octets of a text: a character each, or UTF-8 when one does not fit. */
export function bytesOf(text: string): Uint8Array {
  const wide = [...text].some((char) => (char.codePointAt(0) ?? 0) > 0xff);
  return Uint8Array.from(Buffer.from(text, wide ? 'utf8' : 'latin1'));
}

function expand(entry: Shape, source: string): Case[] {
  const make = (value: string | null): Case => {
    const put = (text: string): string => (value === null ? text : text.replaceAll('{}', value));
    let text = put(textOf(entry)).repeat(entry.times);
    for (const [place, [what, times]] of Object.entries(entry.repeat)) {
      text = text.replaceAll(place, what.repeat(times));
    }
    const other = value === null ? undefined : entry.but?.[value];
    return {
      id: value === null ? entry.name : `${entry.name}: ${JSON.stringify(value)}`,
      source: entry.source ?? source,
      side: entry.response || entry.answer !== undefined ? 'response' : 'request',
      bytes: bytesOf(text),
      verdict: put(other ?? entry.verdict),
      expected: entry,
      to: entry.to,
      upgrade: entry.upgrade,
      tunnels: entry.tunnels,
    };
  };
  return entry.each === undefined ? [make(null)] : entry.each.map(make);
}

/** Every case of every file, each with an id that is its own. */
export function corpus(): readonly Case[] {
  const folder = join(projectRoot, 'test/corpus/http1');
  const cases: Case[] = [];
  for (const file of readdirSync(folder).sort()) {
    if (!file.endsWith('.yaml') || file.startsWith('peer')) continue;
    const read = groups.safeParse(parse(readFileSync(join(folder, file), 'utf8')));
    if (!read.success) throw new Error(`${file}: ${z.prettifyError(read.error)}`);
    const stem = file.slice(0, -'.yaml'.length);
    for (const group of read.data) {
      for (const entry of group.cases) {
        cases.push(
          ...expand(entry, group.source).map((one) => ({ ...one, id: `${stem}: ${one.id}` })),
        );
      }
    }
  }
  return cases;
}
