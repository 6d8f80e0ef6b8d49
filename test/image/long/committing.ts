/**
 * Runs in a box of the image, from a stick: says what the box has after a start, then commits one revision
 * after the other until the power goes, each with the next number as its comment and in the document. Each line
 * on standard output is one JSON value; what was answered is said only after the answer.
 *
 *     node committing.mjs FIRST-NUMBER [BUNDLE]
 */
import { readdirSync } from 'node:fs';
import type BetterSqlite from 'better-sqlite3';
import { Client } from '../../../appliance/cli/client.js';
import { checkIntegrity } from '../../../appliance/config/store-integrity.js';
import type { ConfigView, RevisionRow, UpgradeView } from '../../../appliance/api/contract.js';

/** What the box was found to have. */
export interface Found {
  /** In the document in force; null: it is as the seed has it. */
  readonly number: number | null;
  /** In the comments of all revisions, oldest first. */
  readonly history: readonly number[];
  /** Of all databases, sentences. */
  readonly damage: readonly string[];
  readonly upgrade: UpgradeView;
}

export type Said =
  | { readonly found: Found }
  | { readonly begun: number }
  | { readonly done: number }
  /** Octets of the idle slot that are written, of how many. */
  | { readonly written: number; readonly of: number };

const ADDON = '/usr/lib/weir/node_modules/better-sqlite3/lib/index.js';
const STATE = '/data/weir';
const PREFIX = 'commit ';
const MOST = 1000;

const say = (said: Said): void => {
  console.log(JSON.stringify(said));
};
const numberOf = (text: string | undefined): number | null =>
  text?.startsWith(PREFIX) === true ? Number(text.slice(PREFIX.length)) : null;

async function main(first: number, bundle: string | undefined): Promise<void> {
  const client = new Client('/run/weir/weir.sock');
  // The first configuration may still be on its way from the seed.
  let config = await client.json<ConfigView>({ path: '/v1/config' });
  while (config.revision === null) config = await client.json({ path: '/v1/config' });
  const { document } = config;
  if (document === null) throw new Error(`revision ${config.revision} has no document`);
  const revisions = await client.json<RevisionRow[]>({
    ...{ path: '/v1/revisions', query: { limit: MOST } },
  });
  say({
    found: {
      number: numberOf(document.unit?.description),
      history: revisions.flatMap(({ comment }) => numberOf(comment) ?? []).reverse(),
      damage: await damage(),
      upgrade: await client.json<UpgradeView>({ path: '/v1/upgrade' }),
    },
  });
  if (bundle !== undefined) {
    await client.json({ method: 'POST', path: '/v1/upgrade', json: { file: bundle } });
  }
  for (let number = first; ; number++) {
    const comment = `${PREFIX}${number}`;
    const unit = { ...document.unit, description: comment };
    say({ begun: number });
    const json = { ...document, unit };
    await client.json({ method: 'PUT', path: '/v1/config', json, query: { comment } });
    say({ done: number });
    if (bundle === undefined) continue;
    const { phase, progress } = await client.json<UpgradeView>({ path: '/v1/upgrade' });
    if (phase === 'writing' && progress !== null) {
      say({ written: progress.done, of: progress.total });
    }
  }
}

/** What SQLite finds in the databases, and of the configuration also every revision's digests. */
async function damage(): Promise<string[]> {
  // An addon: that of the box, which lies elsewhere than this file.
  const { default: Database } = (await import(ADDON)) as { readonly default: typeof BetterSqlite };
  return readdirSync(STATE)
    .filter((name) => name.endsWith('.db'))
    .flatMap((name) => {
      const database = new Database(`${STATE}/${name}`, { readonly: true });
      try {
        if (name === 'weir.db') return checkIntegrity(database).problems;
        const rows = database.pragma('integrity_check(20)') as {
          readonly integrity_check: string;
        }[];
        return rows
          .map((row) => row.integrity_check)
          .filter((text) => text !== 'ok')
          .map((text) => `${name}: ${text}`);
      } finally {
        database.close();
      }
    });
}

const [first, bundle] = process.argv.slice(2);
if (first !== undefined) await main(Number(first), bundle);
