/** What the commands show of virtual routers, and what failover asks for. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { PortError } from '../../../appliance/api/port.js';
import { withApi } from '../api/fixture.js';
import { ROUTERS } from '../api/router-rows.js';
import { weir } from './weir.js';

const test = suite('cli: virtual routers');

test('show routers: a line for each, and --json is what the API answers', () =>
  withApi(async ({ socket }) => {
    const { out } = await weir(['show', 'routers'], { socket });
    assert.match(out, /^ROUTER +GROUP +INTERFACE +ID +ROLE +PRIO +SINCE +MASTER +WHY +ADDRESSES\n/);
    assert.match(
      out,
      /even\/eth0\/ipv4 +shared\/even +eth0 +201 +master +200 +\w+ +this unit +no better master was heard +10\.0\.0\.80 10\.0\.0\.82\n/,
    );
    assert.match(
      out,
      /backup +2 +\w+ +10\.0\.0\.3 \(200\) +a stronger master was heard; failover was asked for; pools not well +10\.0\.0\.81\n/,
    );
    const json = await weir(['show', 'routers', '--json'], { socket });
    assert.equal(JSON.parse(json.out), JSON.parse(JSON.stringify(ROUTERS)));
  }));

test('failover says who still holds what, and fails while it is this unit', () =>
  withApi(async ({ daemon, socket }) => {
    const kept = await weir(['pair', 'failover', '--all'], { socket });
    const { author, ...asked } = daemon.last('failover') as { author: string };
    assert.equal(asked, { router: null, cancel: false });
    assert.type(author, 'string');
    assert.is(kept.code, 8);
    assert.match(
      kept.out,
      /^No other unit took over, so this one still holds .* of 1 virtual router\./,
    );
    const over = await weir(['pair', 'failover', 'shared/even', '--cancel'], { socket });
    assert.is(over.code, 0);
    assert.match(over.out, /^The failover is over: .*\nROUTER /);
    const asks = daemon.last('failover') as { router: string; cancel: boolean };
    assert.equal([asks.router, asks.cancel], ['shared/even', true]);
  }));

test('failover of nothing, or of one and all, is a wrong command line', () =>
  withApi(async ({ daemon, socket }) => {
    for (const words of [[], ['front', '--all']]) {
      const ran = await weir(['pair', 'failover', ...words], { socket });
      assert.equal([ran.code, ran.out], [2, '']);
      assert.match(ran.err, /Name one virtual router or group, or say --all/);
    }
    daemon.failures.set('failover', new PortError('not-found', 'There is no such router.'));
    const none = await weir(['pair', 'failover', 'x'], { socket });
    assert.is(none.code, 6);
  }));

test('prefer says what it changed and what moves', () =>
  withApi(async ({ daemon, socket }) => {
    const dry = await weir(['pair', 'prefer', 'weir-b', '--dry-run'], { socket });
    assert.equal([dry.code, dry.err], [0, '']);
    assert.match(
      dry.out,
      /^Would make 1 change .*\n.*pair\.prefer.*\nWhat moves, while both .* 5s:\n/,
    );
    assert.match(dry.out, /^ {2}10\.0\.0\.81 {2}weir-a (→|->) weir-b$/m);
    const done = await weir(['pair', 'prefer', 'none', '--share', 'odd', '--comment', 'x'], {
      socket,
    });
    assert.equal([done.code, done.err], [0, '']);
    assert.match(done.out, /^Set: revision 12, 1 change:/);
    const { author, ...asked } = daemon.last('prefer') as { author: string };
    assert.type(author, 'string');
    assert.equal(asked, { unit: null, share: 'odd', comment: 'x', dryRun: false });
    daemon.failures.set('prefer', new PortError('not-found', 'There is no unit x.'));
    assert.is((await weir(['pair', 'prefer', 'x'], { socket })).code, 6);
  }));

test.run();
