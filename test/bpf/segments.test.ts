/**
 * The largest segment that a handshake through the unit announces (RFC 9293 §3.7.1): lowered to
 * what the service says, wherever among the options it stands, with the checksum along; nothing
 * else is touched. Run with BPF_PROG_TEST_RUN.
 */
import { suite } from 'uvu';
import { lacking, needs } from '../support/needs.js';
import { Datapath } from './datapath.js';
import { frame, guePort, wrap, type FrameSpec } from './packets.js';
import { combinations, expectSent, Scene } from './scene.js';
import { expectShapeAt, expectShapeBack, forwarded, tunnelled, whole } from './shapes.js';

const test = suite('bpf segments');
let path: Datapath;
test.before(() => {
  path = Datapath.open();
});
test.after(() => {
  // Runs even when every test is skipped and nothing was opened.
  if (lacking('bpf') === null) path.close();
});

const limit = 1360;
const most = (size: number): number[] => [2, 4, size >> 8, size & 0xff];
const [nop, end] = [1, 0];
const scale = [3, 3, 7];
const selective = [4, 2];
const times = [8, 10, 0x11, 0x22, 0x33, 0x44, 0, 0, 0, 0];
/** An experiment's option (RFC 6994) of so many bytes. */
const other = (bytes: number): number[] => [254, bytes, ...new Array<number>(bytes - 2).fill(0x5a)];

interface Row {
  readonly name: string;
  readonly options: readonly number[];
  /** What becomes of them; the same unless told. */
  readonly become?: readonly number[];
}

const rows: readonly Row[] = [
  { name: 'the option alone', options: most(1460), become: most(limit) },
  { name: 'the largest value', options: most(65_535), become: most(limit) },
  { name: 'one more than the limit', options: most(limit + 1), become: most(limit) },
  { name: 'the limit', options: most(limit) },
  { name: 'less than the limit', options: most(536) },
  { name: 'nothing', options: most(0) },
  { name: 'no options', options: [] },
  {
    name: 'what Linux sends',
    options: [...most(1460), ...selective, ...times, nop, ...scale],
    become: [...most(limit), ...selective, ...times, nop, ...scale],
  },
  ...[1, 2, 3, 4, 5, 35, 36].map((before) => ({
    name: `the option behind ${before} bytes of nothing`,
    options: padded([...new Array<number>(before).fill(nop), ...most(8960)]),
    become: padded([...new Array<number>(before).fill(nop), ...most(limit)]),
  })),
  {
    name: 'the option last, behind all others',
    options: padded([...selective, ...times, ...scale, ...most(1460)]),
    become: padded([...selective, ...times, ...scale, ...most(limit)]),
  },
  {
    name: 'the option at the very end, at an even place',
    options: [...other(36), ...most(1460)],
    become: [...other(36), ...most(limit)],
  },
  {
    name: 'the option at an odd place behind a long one',
    options: padded([...other(33), ...most(1460)]),
    become: padded([...other(33), ...most(limit)]),
  },
  {
    name: 'the option twice: the first one counts',
    options: [...most(1460), ...most(1460)],
    become: [...most(limit), ...most(1460)],
  },
  { name: 'the option behind the end of the list', options: [nop, nop, nop, end, ...most(1460)] },
  { name: 'the option behind the end, and a length there', options: [end, 4, 0, 0, ...most(1460)] },
  { name: 'the option with another length', options: [2, 6, 5, 180, 0, 0, nop, nop] },
  { name: 'the option’s kind as another one’s value', options: [254, 8, 2, 4, 5, 180, 2, 4] },
  { name: 'an option of length 0 before it', options: [254, 0, nop, nop, ...most(1460)] },
  { name: 'an option of length 1 before it', options: [254, 1, nop, nop, ...most(1460)] },
  { name: 'an option beyond the header before it', options: [254, 40, nop, nop, ...most(1460)] },
  { name: 'a half option at the end', options: [nop, nop, nop, 2] },
  { name: 'the option without its value', options: [nop, nop, 2, 4] },
];

function padded(options: readonly number[]): number[] {
  return [...options, ...new Array<number>((4 - (options.length % 4)) % 4).fill(end)];
}

for (const combination of combinations.filter((one) => one.protocol === 'tcp')) {
  const nat = combination.forwarding.endsWith('nat');
  const at = (what: string, check: (scene: Scene) => void): void => {
    needs.bpf(test)(`${combination.name}: ${what}`, () => {
      check(new Scene(path, combination));
    });
  };
  /** A handshake's packet with these options must arrive with those. */
  const expectClamped = (
    scene: Scene,
    options: readonly number[],
    become: readonly number[],
    change: Partial<FrameSpec> = {},
  ): void => {
    const syn = scene.request({ flags: 'S', ...change, optionBytes: options });
    expectSent(path, frame(syn), () =>
      forwarded(scene, { ...syn, optionBytes: become }, scene.home, whole),
    );
    if (!nat) return;
    const answer = scene.answer(scene.home, { flags: 'SA', ...change, optionBytes: options });
    const back = { ...scene.returned(answer), optionBytes: become };
    expectSent(path, frame(answer), wrap(whole(back), back));
  };

  for (const { name, options, become = options } of rows) {
    at(name, (scene) => {
      path.service({ ...scene.service, mss: limit });
      expectClamped(scene, options, become);
      expectClamped(scene, options, become, { payload: Buffer.alloc(0) });
      expectClamped(scene, options, become, { payload: Buffer.alloc(33, 0xdd) });
    });
  }

  at('limits of many sizes', (scene) => {
    for (const mss of [1, 88, 255, 256, 511, 1220, 1459]) {
      path.service({ ...scene.service, mss });
      expectClamped(scene, most(1460), most(mss));
      expectClamped(scene, padded([nop, ...most(1460)]), padded([nop, ...most(mss)]));
    }
  });

  at('a service without a limit leaves it', (scene) => {
    expectClamped(scene, most(1460), most(1460));
  });

  at('no packet but a handshake’s is looked at', (scene) => {
    path.service({ ...scene.service, mss: limit });
    const optionBytes = most(1460);
    for (const flags of ['A', 'PA', 'FA', 'R']) {
      expectShapeAt(path, scene, whole, scene.request({ flags, optionBytes }));
      if (!nat) continue;
      expectShapeBack(path, scene, whole, scene.answer(scene.home, { flags, optionBytes }));
    }
  });

  at('behind IPv4 options and under tags', (scene) => {
    path.service({ ...scene.service, mss: limit });
    const vlan = { vlan: [100] };
    if (nat) path.member({ ...scene.home, ...vlan });
    const optionBytes = [nop, ...scale, ...most(1460)];
    const six = combination.family === 'ipv6';
    const syn = scene.request({ flags: 'S', optionBytes, ipOptions: six ? 0 : 12, ...vlan });
    const clamped = { ...syn, optionBytes: [nop, ...scale, ...most(limit)] };
    const home = nat ? { ...scene.home, ...vlan } : scene.home;
    expectSent(path, frame(syn), () => forwarded(scene, clamped, home, whole));
  });

  if (combination.forwarding !== 'tunnel') continue;
  at('inside GUE, whose checksum covers it', (scene) => {
    path.service({ ...scene.service, mss: limit, guePort });
    const syn = scene.request({ flags: 'S', optionBytes: most(1460) });
    const clamped = { ...syn, optionBytes: most(limit) };
    const inner = whole(scene.moved(clamped, scene.home));
    expectSent(path, frame(syn), tunnelled(syn, scene.home, inner, { port: guePort }));
  });
}

test.run();
