/** What a speaker is told: read, or refused with a reason. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { parseSettings, parseToSpeaker } from '../../../appliance/ha/vrrp/speaker/messages.js';
import { groupText } from '../../lab/vrrp-stage.js';

const test = suite('what a speaker is told');

const readGroups = (groups: unknown): ReturnType<typeof parseSettings> =>
  parseSettings({ groups, paths: null });

test('addresses and passwords become bytes', () => {
  const settings = readGroups([
    groupText({ addresses: ['10.9.0.80'], peers: ['10.9.0.2'] }, { priority: 254 }),
    groupText(
      { name: 'six', vrid: 52, family: 6, addresses: ['fe80::a', 'fd09::80'], peers: ['fe80::2'] },
      { name: 'six' },
    ),
    groupText(
      {
        name: 'two',
        vrid: 53,
        version: 2,
        interval: 2000,
        password: 'x',
        addresses: ['10.9.0.82'],
      },
      { name: 'two' },
    ),
  ]);
  if (typeof settings === 'string') throw new Error(settings);
  const [four, six, two] = settings.groups.map(({ routers }) => routers[0]);
  assert.equal([...(four?.addresses[0] ?? [])], [10, 9, 0, 80]);
  assert.equal([...(four?.peers[0] ?? [])], [10, 9, 0, 2]);
  assert.is(six?.addresses[1]?.length, 16);
  assert.equal(two?.password, Buffer.from('x'));
});

const wrong: readonly [RegExp, ReturnType<typeof groupText>[]][] = [
  [/steps of 10 ms/, [groupText({ interval: 15 })]],
  [/steps of 10 ms/, [groupText({ interval: 40_960 })]],
  [/steps of 1000 ms/, [groupText({ version: 2, interval: 500 })]],
  [/version 2 has no IPv6/, [groupText({ version: 2, family: 6, interval: 1000 })]],
  [/version 3 has no password/, [groupText({ password: 'x' })]],
  [/password/, [groupText({ version: 2, interval: 1000, password: 'nine byte' })]],
  [/"10.9.0" is no IP address/, [groupText({ addresses: ['10.9.0'] })]],
  [/fd09::80 is of the other family/, [groupText({ addresses: ['fd09::80'] })]],
  [/link-local addresses or others/, [groupText({ family: 6, peers: ['fe80::2', 'fd09::2'] })]],
  [/addresses/, [groupText({ addresses: [] })]],
  [/vrid/, [groupText({ vrid: 0 })]],
  [/priority/, [groupText({}, { priority: 0 })]],
  [/weight/, [groupText({}, { tracked: [{ name: 'x', weight: -1 }] })]],
  [/address 10.9.0.80 is there twice/, [groupText({ addresses: ['10.9.0.80', '10.9.0.80'] })]],
  [/group web is there twice/, [groupText({}), groupText({ name: 'other', vrid: 9 })]],
  [
    /id 51 of IPv4 on eth0 is there twice/,
    [groupText({}), groupText({ name: 'b' }, { name: 'b' })],
  ],
];

test('what cannot be is refused, and says where', () => {
  for (const [reason, groups] of wrong) {
    const read = readGroups(groups);
    if (typeof read !== 'string') throw new Error(`expected a refusal for ${String(reason)}`);
    assert.match(read, reason);
  }
  assert.type(readGroups(null), 'string');
  assert.type(readGroups([{ ...groupText({}), extra: 1 }]), 'string');
});

test('paths: a key, ends of one family, a silence of three heartbeats at the least', () => {
  const path = {
    name: 'cable',
    interface: 'eth1',
    family: 4,
    local: '10.9.9.1',
    remote: '10.9.9.2',
  };
  const right = { key: 'ab'.repeat(32), port: 9348, interval: 10, lost: 30, paths: [path] };
  const read = parseSettings({ groups: [], paths: right });
  if (typeof read === 'string') throw new Error(read);
  assert.is(read.paths?.key.length, 32);
  assert.equal([...(read.paths?.paths[0]?.remote ?? [])], [10, 9, 9, 2]);
  for (const [reason, part] of [
    [/key/, { key: 'ab'.repeat(31) }],
    [/three heartbeats/, { lost: 29 }],
    [/twice/, { paths: [path, path] }],
    [/cable: not of one family/, { paths: [{ ...path, remote: 'fd09::2' }] }],
    [/port/, { port: 0 }],
  ] as const) {
    const refused = parseSettings({ groups: [], paths: { ...right, ...part } });
    assert.match(JSON.stringify(refused), reason);
  }
});

test('who says something else is of another version', () => {
  assert.equal(parseToSpeaker(Buffer.from('{"kind":"track","name":"x","well":true}')), {
    kind: 'track',
    name: 'x',
    well: true,
  });
  for (const said of ['{"kind":"dance"}', '{"kind":"stop","now":1}', 'stop']) {
    assert.throws(() => parseToSpeaker(Buffer.from(said)), undefined, said);
  }
});

test.run();
