/** Rows of virtual routers for the fake daemon. */
import type { RouterRow } from '../../../appliance/api/contract.js';

const LATENESS: RouterRow['lateness'] = {
  turns: [6000, 3000, 800, 12, 1, 0, 0],
  worst: { late: 3.14, part: 'waiting', at: 1_700_000_002_000 },
  leastLease: 56.8,
};

export const ROUTERS: RouterRow[] = [
  {
    ...{ router: 'even/eth0/ipv4', group: 'shared/even', interface: 'eth0', family: 4, id: 201 },
    ...{ role: 'master', priority: 200, configuredPriority: 200, since: 1_700_000_000_000 },
    why: 'no better master was heard',
    addresses: ['10.0.0.80', '10.0.0.82'],
    ...{ master: null, failover: false, unwell: [], sent: 812, received: 3, takeovers: 1 },
    lateness: LATENESS,
  },
  {
    ...{ router: 'odd/eth0/ipv4', group: 'shared/odd', interface: 'eth0', family: 4, id: 202 },
    ...{ role: 'backup', priority: 2, configuredPriority: 100, since: 1_700_000_001_000 },
    why: 'a stronger master was heard',
    addresses: ['10.0.0.81'],
    master: { address: '10.0.0.3', priority: 200 },
    ...{ failover: true, unwell: ['pools'], sent: 5, received: 913, takeovers: 2 },
    lateness: LATENESS,
  },
];
