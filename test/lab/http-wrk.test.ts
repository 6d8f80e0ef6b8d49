/**
 * Clients that ask as fast as they can, by wrk: none of them sees an error while the configuration
 * changes under them, and the unit has counted what they asked.
 */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { needs } from '../support/needs.js';
import { type Configuration, listenAt, membersOf, ProxyLab, service4 } from './proxy-lab.js';
import { addressOf } from './topology.js';
import { until } from './unit.js';

const test = suite('http under wrk');
const wrk = needs.wrk(test);
const CLIENTS = 64;
let stage: ProxyLab;

function configuration(header: string): Configuration {
  return {
    pools: {
      shop: { algorithm: 'round-robin', members: membersOf(['member-1', 'member-2']) },
      other: { members: membersOf(['member-3']) },
    },
    services: {
      web: {
        listen: listenAt(80),
        pool: 'other',
        persistence: { type: 'cookie', name: 'SRV' },
        routes: [
          {
            when: { host: 'shop.example', path: '/status/**' },
            pool: 'shop',
            'response-headers': { set: { 'X-Change': header } },
          },
        ],
      },
    },
  };
}

test.before(async () => {
  stage = await ProxyLab.open();
  await stage.apply(configuration('none'));
  await stage.untilWorkers(2);
});

test.after(() => stage.close());

/** Requests that each member of the pool got. */
async function byMember(): Promise<Map<string, number>> {
  const rows = (await stage.unit.members()).filter(({ pool }) => pool === 'shop');
  return new Map(rows.map(({ address, proxy }) => [address, proxy?.totals.requests ?? Number.NaN]));
}

wrk('changes while 64 clients ask cost nobody an answer, and every answer is counted', async () => {
  const url = `http://${service4}/status/200`;
  const host = ['-H', 'Host: shop.example'];
  const first = await stage.curl('-D', '-', ...host, url);
  const cookie = /^set-cookie: ([^;\r]+)/im.exec(first)?.[1];
  assert.ok(cookie, `expected a cookie: ${first}`);
  const home = addressOf(/member-1\n$/.test(first) ? 'member-1' : 'member-2', 4);
  // Rows are of one sample a second: both must have seen the first request, or it is counted below.
  await until('the first request in the counters', 10_000, async () => {
    const counted = await stage.requests('web');
    const atMembers = [...(await byMember()).values()].reduce((sum, requests) => sum + requests, 0);
    return (counted === 1 && atMembers === 1) || `${counted} counted, ${atMembers} at the members`;
  });
  const before = 1;
  const membersBefore = await byMember();
  let over = false;
  const asking = stage
    .run('wrk', '-t2', `-c${CLIENTS}`, '-d3s', ...host, '-H', `Cookie: ${cookie}`, url)
    .finally(() => (over = true));
  let changes = 0;
  while (!over) await stage.apply(configuration(String((changes += 1))));
  const { stdout, stderr } = await asking;
  assert.ok(changes >= 2, `${changes} changes were applied meanwhile`);
  assert.not.match(stdout, /Socket errors|Non-2xx/, stdout);
  const asked = Number(/(\d+) requests in/.exec(stdout)?.[1] ?? Number.NaN);
  assert.ok(asked > 500, `${asked} requests: ${stdout}${stderr}`);
  // Those under way when wrk ends are no requests of its own account.
  // Rows are of one sample a second, so those of service and members may be a sample apart.
  let last = 0;
  await until('the counters', 10_000, async () => {
    last = (await stage.requests('web')) - before;
    const gained = [...(await byMember())].map(([address, requests]) => {
      const got = requests - (membersBefore.get(address) ?? Number.NaN);
      return { address, got, right: got === (address === home ? last : 0) };
    });
    if (last >= asked && gained.every(({ right }) => right)) return true;
    const members = gained.map(({ address, got }) => `${got} at ${address}`).join(', ');
    return `${last} counted, ${asked} asked; ${members}, where the cookie leads to ${home}`;
  });
  assert.ok(last <= asked + CLIENTS, `${last} counted, ${asked} asked by ${CLIENTS} clients`);
  const later = await stage.curl('-D', '-', ...host, url);
  assert.match(later, new RegExp(`^x-change: ${changes}\r$`, 'im'), 'the last change holds');
});

test.run();
