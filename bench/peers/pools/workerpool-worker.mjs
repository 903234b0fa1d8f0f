import workerpool from 'workerpool';
import { perform } from '../operations.mjs';

workerpool.worker({ perform });
