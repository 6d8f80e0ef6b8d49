/** The network of the unit itself: interfaces, routes, names and time, and who set what. */
import { networkText } from '../../appliance/cli/network-text.js';
import { heading, span, type Line } from '../frame.js';
import { type Model } from '../model.js';
import { answerOf } from '../topics.js';
import { toldLines, toldTo } from './told.js';

export function networkScreen(model: Model, width: number): Line[] {
  const { look } = model;
  const { value, problem } = answerOf(model, 'network');
  const head = heading(look, 'Network', width, 'p: ping  t: traceroute  n: look up a name');
  if (value === null) {
    return [head, [span(look, problem ?? 'Asking the daemon.', problem === null ? 'dim' : 'bad')]];
  }
  // What the terminal is too narrow for is said of the command's option.
  const text = networkText(toldTo(model), value, false).replaceAll(/^\(not shown .*\n/gm, '');
  const titles = /^(INTERFACE|ADDRESS|ROUTE) /;
  return [
    head,
    ...toldLines(model, text, width, (line) =>
      titles.test(line) ? 'bold' : value.problems.includes(line) ? 'bad' : 'plain',
    ),
  ];
}
