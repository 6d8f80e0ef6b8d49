/** Paths between two units: what both come to by each other's addresses. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import {
  choosePaths,
  MOST_PATHS,
  type UnitAddress,
} from '../../../appliance/ha/vrrp/paths/choose.js';

const test = suite('paths of a pair');
const at = (on: string, text: string): UnitAddress => {
  const [address = '', length = ''] = text.split('/');
  return { interface: on, address, prefixLength: Number(length) };
};

test('each network that both are in is a path; both ends choose the same', () => {
  const own = [
    at('eth0', '10.0.0.7/24'),
    at('eth0', '10.0.0.1/24'),
    at('eth0', 'fd00::1/64'),
    at('eth1', '192.168.1.1/30'),
    at('eth2', '172.16.0.1/16'),
  ];
  const other = [
    at('lan', '10.0.0.2/24'),
    at('lan', 'fd00::2/64'),
    at('cable', '192.168.1.2/30'),
    // Of another length, so in another network.
    at('wan', '172.16.0.2/24'),
  ];
  const paths = choosePaths(own, other);
  assert.equal(
    paths.map((path) => [path.name, path.interface, path.family, path.local, path.remote]),
    [
      ['10.0.0.0/24', 'eth0', 4, '10.0.0.1', '10.0.0.2'],
      ['192.168.1.0/30', 'eth1', 4, '192.168.1.1', '192.168.1.2'],
      ['fd00::/64', 'eth0', 6, 'fd00::1', 'fd00::2'],
    ],
  );
  assert.equal(
    choosePaths(other, own).map(({ name, local, remote }) => [name, remote, local]),
    paths.map(({ name, local, remote }) => [name, local, remote]),
  );
});

test('one wire is one path a family, an address that both have is none, and there are few', () => {
  const many = (host: number): UnitAddress[] =>
    Array.from({ length: 12 }, (_, net) => at(`eth${net}`, `10.0.${net}.${host}/24`));
  assert.is(choosePaths(many(1), many(2)).length, MOST_PATHS);
  const two = (host: number): UnitAddress[] => [
    at('eth0', `10.0.0.${host}/24`),
    at('eth0', `10.0.1.${host}/24`),
  ];
  assert.is(choosePaths(two(1), two(2)).length, 1);
  assert.equal(choosePaths([at('eth0', '10.0.0.1/24')], [at('eth0', '10.0.0.1/24')]), []);
  assert.equal(choosePaths([at('eth0', 'nonsense/24')], two(2)), []);
});

test.run();
