/** What each page of the wizard is called, and what it says above its fields. */
import type { PageName } from './wizard.js';

export const PAGE_NOTES: Readonly<
  Record<PageName, { readonly title: string; readonly note: string }>
> = {
  way: {
    title: 'First set-up',
    note: 'This unit is set up here in a few pages, or joins a unit that is set up. Nothing is changed before the last page. Left and Right choose.',
  },
  locale: {
    title: 'Keyboard and time zone',
    note: 'Of the console, and of what people read; logs have UTC. Tab completes. Empty: as it is.',
  },
  admin: {
    title: 'Administrator',
    note: 'Who may do everything, on the console and over the network. The password is not shown.',
  },
  management: {
    title: 'Management address',
    note: 'The address at which the unit itself is reached, with its prefix length, such as 192.0.2.10/24. Empty: as it is.',
  },
  networks: {
    title: 'Networks of clients and members',
    note: 'The addresses of the unit on its other interfaces, with their prefix lengths. Empty: as it is.',
  },
  name: {
    title: 'Name',
    note: 'Of this unit, such as weir-a: unique within a pair.',
  },
  service: {
    title: 'First service, 1 of 5: its name',
    note: 'Such as shop. Its pool gets the same name. Empty: no service yet.',
  },
  listen: {
    title: 'First service, 2 of 5: address and port',
    note: 'What clients connect to. The unit answers for the address.',
  },
  protocol: {
    title: 'First service, 3 of 5: protocol',
    note: 'http and https go through the proxy, tcp and udp through the fast path. nat: the members have this unit as their gateway. full-nat needs unit.nat-addresses. dsr and tunnel: the members own the service address too. https begins with a certificate that the unit makes itself.',
  },
  members: {
    title: 'First service, 4 of 5: members',
    note: 'Addresses with ports, with blanks between them: 10.0.1.11:8080 [2001:db8::1]:8080',
  },
  monitor: {
    title: 'First service, 5 of 5: monitor',
    note: 'How it is known that a member is well.',
  },
  trial: {
    title: 'Tried now',
    note: 'Each member was asked once, as the monitor will. Nothing is changed yet.',
  },
  join: {
    title: 'Join a unit',
    note: "On the other unit, i on its screen Pair, or weir pair invite, shows an address and a code. The code is not shown here. Its configuration becomes that of both; users are those of both, and of two of one name the other unit's counts.",
  },
  commit: {
    title: 'Commit',
    note: 'All at once, as one revision. With a time it goes back by itself unless you keep it: on a new unit to one that has its name and nothing else.',
  },
  done: { title: 'Done', note: '' },
};
