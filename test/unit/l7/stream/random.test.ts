/**
 * Streams at random, by seeds that are kept: every byte that arrives on either side is the right one,
 * and where nobody cuts, all arrive. `WEIR_SEEDS=FROM-TO` tries others.
 */
import { once } from 'node:events';
import type { Socket } from 'node:net';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { bodyOf, Incoming, inPieces, type Draw } from '../../../support/http-chaos.js';
import { needs } from '../../../support/needs.js';
import { generator } from '../../../support/random.js';
import { withStreams } from '../../../support/stream-stage.js';

const test = suite('streams at random');
const uring = needs.uring(test);

const CLIENTS = 40;

/** What both sides of a connection know of it. */
interface Talk {
  readonly id: number;
  readonly up: number;
  readonly down: number;
  /** Somebody cuts it, or both end in order. */
  readonly cut: 'client' | 'member' | null;
  /** Bytes after which that is. */
  readonly after: number;
}

function talkBy(draw: Draw, id: number): Talk {
  const sizes = [0, 1, draw(5000), draw(100_000), draw(600_000)];
  const size = (): number => sizes[draw(sizes.length)] ?? 0;
  const cuts = ['client', 'member', null, null, null] as const;
  const up = size();
  return { id, up, down: size(), cut: cuts[draw(cuts.length)] ?? null, after: draw(up + 1) };
}

/** Sends what is this side's, ends it, and reads the other's until its end. Returns what is wrong. */
async function take(
  incoming: Incoming,
  mine: Buffer,
  theirs: Buffer,
  talk: Talk,
  side: 'client' | 'member',
  draw: Draw,
): Promise<string | null> {
  const { socket } = incoming;
  const cuts = talk.cut === side;
  const sending = inPieces(
    socket,
    cuts ? mine.subarray(0, talk.after) : mine,
    draw(2) === 0 ? draw : null,
  );
  const over = sending.then(() => {
    if (!cuts) socket.end();
    else if (draw(2) === 0) socket.resetAndDestroy();
    else socket.destroy();
  });
  if (draw(4) === 0) {
    socket.pause();
    setTimeout(() => socket.resume(), draw(40));
  }
  let got = 0;
  let wrong: string | null = null;
  while (await incoming.more(0)) {
    const piece = incoming.take(incoming.length);
    if (wrong === null && !piece.equals(theirs.subarray(got, got + piece.length))) {
      wrong = `connection ${talk.id}: the ${side} got other bytes after ${got}`;
    }
    got += piece.length;
  }
  await over;
  if (wrong === null && talk.cut === null && got !== theirs.length) {
    wrong = `connection ${talk.id}: the ${side} got ${got} bytes of ${theirs.length}`;
  }
  return wrong;
}

async function round(seed: number): Promise<void> {
  const draw = generator(seed * 6151);
  const wrong: string[] = [];
  const talks = new Map<number, Talk>();
  let served = 0;
  const note = (said: string | null): void => {
    if (said !== null) wrong.push(said);
  };
  const member = (socket: Socket): void => {
    const incoming = new Incoming(socket);
    void (async () => {
      const line = await incoming.line('\n');
      const talk = line === null ? undefined : talks.get(Number(line));
      if (talk === undefined) {
        // Its client left before it said who it is.
        socket.destroy();
        return;
      }
      served += 1;
      const theirs = bodyOf(talk.id, talk.up);
      note(await take(incoming, bodyOf(talk.id + 1, talk.down), theirs, talk, 'member', draw));
    })();
  };
  const few = draw(2) === 0;
  const options = {
    ring: few ? { slots: 256, receiving: 32, working: 64, size: 4096 } : { slots: 256 },
    ...(draw(2) === 0 ? { most: 10, pool: { queue: 100 } } : {}),
  };
  await withStreams([member, member], options, async ({ unit, client }) => {
    const clients = Array.from({ length: CLIENTS }, async (_, index) => {
      const talk = talkBy(draw, index * 10 + 1);
      talks.set(talk.id, talk);
      await new Promise((resolve) => setTimeout(resolve, draw(40)));
      const socket = client();
      await once(socket, 'connect');
      socket.write(`${talk.id}\n`);
      const theirs = bodyOf(talk.id + 1, talk.down);
      note(
        await take(new Incoming(socket), bodyOf(talk.id, talk.up), theirs, talk, 'client', draw),
      );
      socket.destroy();
    });
    await Promise.all(clients);
    await unit.driver.settled(() => unit.engine.open === 0 && unit.ended.length === CLIENTS);
    assert.equal(wrong, [], `seed ${seed}`);
    assert.ok(served > CLIENTS / 2, `seed ${seed}: ${served} connections reached members`);
    const { pool } = unit.driver;
    await unit.driver.settled(() => pool.withKernel === pool.receiving);
  });
}

const [from = 1, to = from] = (process.env['WEIR_SEEDS'] ?? '1-6').split('-').map(Number);
for (let seed = from; seed <= to; seed += 1) uring(`seed ${seed}`, () => round(seed));

test.run();
