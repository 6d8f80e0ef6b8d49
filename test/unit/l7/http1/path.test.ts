/** The form of a path that routes see. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { RoutePath } from '../../../../appliance/l7/http1/path.js';

const test = suite('http1 path');

function route(target: string): string {
  const bytes = Uint8Array.from(Buffer.from(target, 'latin1'));
  const out = new Uint8Array(bytes.length + 2).fill(0x58);
  const path = new RoutePath();
  const end = path.normalise(bytes, 0, bytes.length, out, 1);
  assert.is(out[out.length - 1], 0x58, `${target} wrote beyond its room`);
  return end < 0
    ? (path.fault?.code ?? 'no fault')
    : `${Buffer.from(out.subarray(1, end)).toString('latin1')}${target.slice(path.sourceEnd)}`;
}

const table: readonly (readonly [string, string])[] = [
  ['/', '/'],
  ['/a', '/a'],
  ['/a/b/', '/a/b/'],
  ['/a?b=/../c', '/a?b=/../c'],
  ['/%61%2D%7e', '/a-~'],
  ['/%41%c3%a4', '/A\xc3\xa4'],
  ['//a///b//', '/a/b/'],
  ['/a/./b/.', '/a/b/'],
  ['/a/../b', '/b'],
  ['/a/b/..', '/a/'],
  ['/a/b/../..', '/'],
  ['/a//../b', '/b'],
  ['/a/%2e%2E/b', '/b'],
  ['/.a/..b/c./...', '/.a/..b/c./...'],
  ['/a;x=y/b', '/a;x=y/b'],
  ['/%2561', '/%61'],
  ['/a%3Fb', '/a?b'],
  ['/..', 'path-climbs'],
  ['/a/../../b', 'path-climbs'],
  ['/%2e%2e/', 'path-climbs'],
  ['/a/..;/b', 'dot-parameter'],
  ['/a/..;x=y', 'dot-parameter'],
  ['/a/.;/b', 'dot-parameter'],
  ['/a%2fb', 'encoded-slash'],
  ['/a%2Fb', 'encoded-slash'],
  ['/a%5cb', 'encoded-slash'],
  ['/a\\b', 'encoded-slash'],
  ['/a%00', 'encoded-control'],
  ['/a%0d%0ab', 'encoded-control'],
  ['/a%7f', 'encoded-control'],
  ['/%', 'bad-path-encoding'],
  ['/%4', 'bad-path-encoding'],
  ['/%4g', 'bad-path-encoding'],
  ['/%u0041', 'bad-path-encoding'],
  ['/a%?41', 'bad-path-encoding'],
];

for (const [target, expected] of table) {
  test(`${target} is ${expected}`, () => assert.is(route(target), expected));
}

test.run();
