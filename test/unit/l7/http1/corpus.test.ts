/** Every message of the corpus: its verdict in one piece, cut in two anywhere, and byte by byte. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { corpus, type Case } from '../../../support/http1-corpus.js';
import { judge } from '../../../support/http1-judge.js';

const cases = corpus();
const test = suite('http1 corpus');

test('has at least 300 cases, each with a name of its own and a source', () => {
  assert.ok(cases.length >= 300, `there are ${cases.length}`);
  assert.is(new Set(cases.map(({ id }) => id)).size, cases.length, 'two cases have one name');
  for (const { id, source } of cases) assert.ok(source.length > 5, id);
});

function differences(which: readonly Case[]): string[] {
  const wrong: string[] = [];
  for (const one of which) {
    const seen = judge(one.bytes, one);
    const { expected } = one;
    const differs = (what: string, wanted: unknown, got: unknown): void => {
      const a = JSON.stringify(wanted);
      const b = JSON.stringify(got);
      if (wanted !== undefined && a !== b) wrong.push(`${one.id}: ${what} ${a}, seen ${b}`);
    };
    if (one.verdict.endsWith('…')) {
      const begin = one.verdict.slice(0, -1);
      differs('verdict', begin, seen.verdict.slice(0, begin.length));
    } else differs('verdict', one.verdict, seen.verdict);
    differs('host', expected['host-is'], seen.host);
    differs('dropped', expected.dropped, seen.dropped);
    differs('left', expected.left, seen.left);
    for (const [name, value] of Object.entries(expected['fields-seen'] ?? {})) {
      differs(name, value, seen.fields[name]);
    }
  }
  return wrong;
}

test('gives every case its verdict', () => {
  assert.equal(differences(cases), []);
});

/** Every place to cut; of long messages those at both ends and some between. */
function cutsOf(size: number): number[] {
  const all = Array.from({ length: Math.max(0, size - 1) }, (_, i) => i + 1);
  return size <= 1500 ? all : all.filter((i) => i < 300 || i > size - 300 || i % 499 === 0);
}

test('gives the same verdict when the bytes come in two pieces, cut anywhere', () => {
  for (const one of cases) {
    const whole = JSON.stringify(judge(one.bytes, one));
    for (const cut of cutsOf(one.bytes.length)) {
      const seen = JSON.stringify(judge(one.bytes, one, [cut]));
      if (seen !== whole) assert.is(seen, whole, `${one.id}, cut at ${cut}`);
    }
  }
});

test('gives the same verdict when the bytes come one by one', () => {
  for (const one of cases) {
    const cuts = Array.from({ length: Math.max(0, one.bytes.length - 1) }, (_, i) => i + 1);
    const whole = JSON.stringify(judge(one.bytes, one));
    assert.is(JSON.stringify(judge(one.bytes, one, cuts)), whole, one.id);
  }
});

test.run();
