import { defineTasks } from 'quartermaster';

export default defineTasks({
  square: (n: number) => n * n,
});
