/** What the layer-7 benchmark prints, and which cases it takes. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { cases, chosen, type Measure, measures } from '../../bench/l7-cases.js';
import { compare, text } from '../../bench/l7-results.js';
import { routesByPool, sceneAt } from '../../bench/l7-scene.js';

const test = suite('results of the layer-7 benchmark');

const peers = [
  { name: 'haproxy 2', values: [20, 22, 21] },
  { name: 'nginx 1', values: [30, 18, 19] },
];

function measure(name: Measure['name']): Measure {
  const found = measures.find((one) => one.name === name);
  if (found === undefined) throw new Error(`no measure ${name}`);
  return found;
}

test('the better peer has the lower median of CPU time, and the ratio is to it', () => {
  const line = compare('l7.keepalive.64', measure('cpu'), [15, 12, 14], peers, [5]);
  assert.equal(line, {
    case: 'l7.keepalive.64.cpu',
    unit: 'us/request',
    ours: { min: 12, median: 14, max: 15 },
    peer: 'nginx 1',
    theirs: { min: 18, median: 19, max: 30 },
    ratio: 0.737,
    peers: {
      'haproxy 2': { min: 20, median: 21, max: 22 },
      'nginx 1': { min: 18, median: 19, max: 30 },
    },
    floor: { min: 5, median: 5, max: 5 },
  });
});

test('of requests a second the better peer has more', () => {
  const line = compare('l7.keepalive.64', measure('rps'), [42], peers, [99]);
  assert.is(line.peer, 'haproxy 2');
  assert.is(line.ratio, 2);
});

test('without Weir the peers are told, and no ratio', () => {
  const line = compare('l7.keepalive.64', measure('p99'), null, peers, [5]);
  assert.not('ours' in line);
  assert.not('ratio' in line);
  assert.match(text(line), /^l7\.keepalive\.64\.p99 .*–.*us$/);
});

test('cases are chosen by their names or by how these begin, with or without "l7."', () => {
  const names = (words: readonly string[]): string[] => chosen(words).map(({ name }) => name);
  assert.equal(names(['keepalive.64']), ['keepalive.64']);
  assert.equal(names(['l7.connect', 'keepalive.1']), [
    'keepalive.1',
    'connect.1',
    'connect.64',
    'connect.512',
  ]);
  assert.is(chosen([]), cases);
  assert.throws(() => chosen(['keepalive.6']), /no case is named "keepalive\.6"/);
});

test('every pool of the scene has as many routes, and each pair of host and path one', () => {
  const made = sceneAt([
    [1, 2, 3, 4, 5],
    [6, 7, 8, 9, 10],
  ]);
  assert.equal(
    routesByPool(made).map(({ length }) => length),
    [10, 10, 10, 10, 10],
  );
  assert.is(new Set(made.routes.map(({ host, path }) => host + path)).size, 50);
});

test.run();
