/**
 * The cases of the layer-7 benchmark, and which of them were asked for.
 */
import type { KeyKind } from '../support/tls-material.js';
import type { Body } from './l7-scene.js';

export interface Case {
  /** Without `l7.` in front and the measure's name behind. */
  readonly name: string;
  readonly clients: number;
  readonly body: Body;
  /** One request a connection. */
  readonly connect: boolean;
  readonly tls: {
    readonly key: KeyKind;
    /** Whether each new connection goes on with a session of an earlier one. */
    readonly resumes: boolean;
  } | null;
}

const keepAlive = (clients: number): Case => ({
  name: `keepalive.${clients}`,
  clients,
  body: 'small',
  connect: false,
  tls: null,
});
const body = (which: '64k' | '10m', clients: number): Case => ({
  name: `body${which}.${clients}`,
  clients,
  body: which,
  connect: false,
  tls: null,
});
const connect = (clients: number): Case => ({
  name: `connect.${clients}`,
  clients,
  body: 'small',
  connect: true,
  tls: null,
});

const overTls = (
  name: string,
  facts: Partial<Case>,
  key: KeyKind = 'ecdsa',
  resumes = false,
): Case => ({ ...keepAlive(1), ...facts, name, tls: { key, resumes } });

export const cases: readonly Case[] = [
  ...[1, 64, 512, 4096].map(keepAlive),
  ...[1, 64, 512].map((clients) => body('64k', clients)),
  ...[1, 4, 64].map((clients) => body('10m', clients)),
  ...[1, 64, 512].map(connect),
  ...[1, 64, 512].map((clients) => overTls(`tls.${clients}`, { clients })),
  overTls('tls.body10m', { clients: 4, body: '10m' }),
  overTls('tls.handshake', { clients: 16, connect: true }),
  overTls('tls.handshake-rsa', { clients: 16, connect: true }, 'rsa'),
  overTls('tls.resumed', { clients: 16, connect: true }, 'ecdsa', true),
];

/** Those whose name is one of the words or begins with one and a dot; all without words. */
export function chosen(words: readonly string[]): readonly Case[] {
  if (words.length === 0) return cases;
  const plain = words.map((word) => word.replace(/^l7\./, ''));
  for (const word of plain) {
    if (!cases.some(({ name }) => matches(name, word))) {
      const names = cases.map(({ name }) => name).join(', ');
      throw new Error(`no case is named "${word}": there are ${names}`);
    }
  }
  return cases.filter(({ name }) => plain.some((word) => matches(name, word)));
}

function matches(name: string, word: string): boolean {
  return name === word || name.startsWith(`${word}.`);
}

export const measures = [
  { name: 'cpu', unit: 'us/request', better: 'less' },
  { name: 'kernel', unit: 'us/request', better: 'less' },
  { name: 'rps', unit: 'requests/s', better: 'more' },
  { name: 'p50', unit: 'us', better: 'less' },
  { name: 'p99', unit: 'us', better: 'less' },
  { name: 'p999', unit: 'us', better: 'less' },
] as const;
export type Measure = (typeof measures)[number];
