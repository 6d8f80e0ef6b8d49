/**
 * How long it takes until one address, and all of 250, have moved, as their network sees it: from what
 * happened to the speaker of the unit that held them (its guard gives them up) to the last address
 * that the other unit announces, and from the first of these to the last.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { groupText, macs, VrrpStage } from '../lab/vrrp-stage.js';
import { reportMilliseconds } from './report.js';

const CASES = [
  { name: 'address', count: 1 },
  { name: 'addresses', count: 250 },
] as const;
const INTERVAL = 30;
export const addressActs = ['kill', 'freeze'] as const;
type AddressAct = (typeof addressActs)[number];

export async function measureAddresses(
  act: AddressAct,
  runs: number,
  json: boolean,
): Promise<void> {
  for (const { name, count } of CASES) {
    const [spreads, totals]: [number[], number[]] = [[], []];
    for (let run = 0; run < runs; run += 1) {
      await VrrpStage.run(async (stage) => {
        const { from, first, last } = await move(stage, act, count, run);
        spreads.push(last - first);
        totals.push(last - from);
      });
    }
    if (count > 1) reportMilliseconds(`failover.${name}.${act}.spread`, spreads, json);
    reportMilliseconds(`failover.${name}.${act}`, totals, json);
  }
}

async function move(
  stage: VrrpStage,
  act: AddressAct,
  count: number,
  run: number,
): Promise<{ from: number; first: number; last: number }> {
  const numbers = Array.from({ length: count }, (_, index) => index + 1);
  const addresses = numbers.map((number) => `10.9.1.${number}`);
  const [a, b] = [stage.weir('a'), stage.weir('b')];
  await a.configure([groupText({ interval: INTERVAL, addresses }, { priority: 200 })]);
  await a.becomes('master');
  await b.configure([groupText({ interval: INTERVAL, addresses }, { priority: 100 })]);
  await b.becomes('backup');
  await stage.claim('a', hexOf(count));
  // Not always at the same moment of an interval.
  await delay(500 + ((run * 7) % INTERVAL));
  const seen = stage.frames.length;
  const from = Date.now();
  await a.signal(act === 'kill' ? 'SIGKILL' : 'SIGSTOP');
  for (const number of numbers) await stage.claim('b', hexOf(number), seen);
  const wanted = new Set(numbers.map(hexOf));
  const moments: number[] = [];
  stage.frames.forEach((frame, index) => {
    if (index < seen || frame.kind !== 'claim' || frame.from !== macs.b) return;
    // Each is announced more than once.
    if (wanted.delete(frame.address)) moments.push(stage.frameTimes[index] ?? 0);
  });
  return { from, first: Math.min(...moments), last: Math.max(...moments) };
}

function hexOf(number: number): string {
  return `0a0901${number.toString(16).padStart(2, '0')}`;
}
