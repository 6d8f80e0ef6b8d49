/** What agents say: HAProxy's words, what holds of earlier lines, and lines that nobody meant. */
import * as fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import {
  afterAgentLine,
  parseAgentLine,
  printable,
  type AgentStatus,
} from '../../../appliance/health/agent-line.js';

const good: readonly (readonly [line: string, words: object])[] = [
  ['up', { operating: 'up' }],
  ['UP\n', { operating: 'up' }],
  ['ready', { administrative: 'ready' }],
  ['drain', { administrative: 'drain' }],
  ['maint', { administrative: 'maint' }],
  ['down', { operating: 'down' }],
  ['stopped', { operating: 'stopped' }],
  ['fail', { operating: 'fail' }],
  ['failed', { operating: 'fail' }],
  ['75%', { weightPercent: 75 }],
  ['0%', { weightPercent: 0 }],
  ['200%', { weightPercent: 200 }],
  ['maxconn:30', { maxConnections: 30 }],
  ['cpu:12%', { cpuPercent: 12 }],
  ['up ready 75%', { operating: 'up', administrative: 'ready', weightPercent: 75 }],
  [
    '\tup,ready, 50%,maxconn:9\r\nignored',
    {
      operating: 'up',
      administrative: 'ready',
      weightPercent: 50,
      maxConnections: 9,
    },
  ],
  ['down # disk is full', { operating: 'down', description: 'disk is full' }],
  ['up#', { operating: 'up' }],
  ['10% 20%', { weightPercent: 20 }],
];

for (const [line, words] of good) {
  test(`${JSON.stringify(line)} is understood`, () => {
    assert.equal(parseAgentLine(line), { words });
  });
}

const bad: readonly (readonly [line: string, error: string])[] = [
  ['', 'the agent said nothing'],
  ['\n', 'the agent said nothing'],
  ['# only a note', 'the agent said nothing'],
  ['okay', 'the agent said "okay", which is no word of an agent'],
  ['up -1%', 'the agent said "-1%", which is no word of an agent'],
  ['99999%', 'the agent said "99999%", which is no word of an agent'],
  ['cpu:101%', 'the agent said "cpu:101%", which is no word of an agent'],
  ['maxconn:', 'the agent said "maxconn:", which is no word of an agent'],
  ['HTTP/1.1 400', 'the agent said "HTTP/1.1", which is no word of an agent'],
  ['a'.repeat(1025), "the agent's line is longer than 1024"],
  ['\u001b[31mred', 'the agent said "[31mred", which is no word of an agent'],
];

for (const [line, error] of bad) {
  test(`${JSON.stringify(line.slice(0, 20))} is refused with a sentence`, () => {
    assert.equal(parseAgentLine(line), { error });
  });
}

function after(...lines: string[]): AgentStatus {
  let status: AgentStatus | undefined;
  for (const line of lines) {
    const parsed = parseAgentLine(line);
    if ('error' in parsed) throw new Error(parsed.error);
    status = afterAgentLine(status, parsed.words);
  }
  if (status === undefined) throw new Error('no line at all');
  return status;
}

const histories: readonly (readonly [lines: string[], state: string, reason: string])[] = [
  [['up'], 'up', 'agent says up'],
  [['50%'], 'up', 'agent says up 50%'],
  [['drain', '50%'], 'drain', 'agent says drain'],
  [['drain', 'up'], 'drain', 'agent says drain'],
  [['drain', 'ready'], 'up', 'agent says up'],
  [['down # no disk', '50%'], 'down', 'agent says down'],
  [['down # no disk'], 'down', 'agent says down: no disk'],
  [['stopped', 'up'], 'up', 'agent says up'],
  [['maint', 'down'], 'maint', 'agent says maint'],
  [['maint', 'up'], 'maint', 'agent says maint'],
  [['maint', 'ready up'], 'up', 'agent says up'],
  [['80%', 'up cpu:30%'], 'up', 'agent says up 80% cpu:30%'],
  [['cpu:30%', 'up'], 'up', 'agent says up'],
];

for (const [lines, state, reason] of histories) {
  test(`after ${lines.join(', then ')}: ${state}`, () => {
    const status = after(...lines);
    assert.is(`${status.state}: ${status.reason}`, `${state}: ${reason}`);
  });
}

const word = fc.oneof(
  fc.constantFrom('up', 'down', 'fail', 'stopped', 'drain', 'maint', 'ready', 'READY', 'Up'),
  fc.integer({ min: 0, max: 25_600 }).map((n) => `${n}%`),
  fc.integer({ min: 0, max: 100 }).map((n) => `cpu:${n}%`),
  fc.nat().map((n) => `maxconn:${n}`),
);

test('every line of words is understood, and order of different kinds does not matter', () => {
  fc.assert(
    fc.property(fc.uniqueArray(word, { maxLength: 6, minLength: 1 }), (words) => {
      const parsed = parseAgentLine(words.join(' '));
      assert.ok('words' in parsed, JSON.stringify(parsed));
    }),
  );
});

test('no text makes the parser throw, and what it says is short and printable', () => {
  fc.assert(
    fc.property(
      fc.oneof(
        fc.string({ unit: 'binary', maxLength: 3000 }),
        fc.array(word).map((w) => `${w.join(',')}#é\u0007`),
      ),
      (text) => {
        const parsed = parseAgentLine(text);
        const said = 'error' in parsed ? parsed.error : (parsed.words.description ?? '');
        assert.ok([...said].length <= 200, said);
        assert.not.match(said, /[\p{Cc}\p{Zl}\p{Zp}]/u);
        if ('words' in parsed) {
          const status = afterAgentLine(undefined, parsed.words);
          assert.ok(status.weightPercent === undefined || status.weightPercent <= 25_600);
        }
      },
    ),
    { numRuns: 2000 },
  );
});

test('a printable text keeps its length', () => {
  assert.is(printable('  a\u0000\u202e b\n', 10), 'a b');
  assert.is(printable('abcdef', 4), 'abc…');
});

test.run();
